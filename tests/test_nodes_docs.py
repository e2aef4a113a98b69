"""Help pages and translations say what the nodes are, all of it and nothing else."""

import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest
from help_pages import (
    DOCS,
    INPUTS,
    LANGUAGES,
    OUTPUTS,
    ROOT,
    facts_of,
    locale,
    page,
    paths_of,
    tables,
    words_of,
)
from PIL import Image

NODES = sorted(
    json.loads((ROOT / "tests" / "data" / "node_contracts.json").read_text(encoding="utf-8"))
)
ASSETS = DOCS / "assets"
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")
SCRIPTS = {"zh": "\u4e00-\u9fff", "ko": "\uac00-\ud7a3", "ja": "\u3040-\u30ff\u4e00-\u9fff"}
"""Letters of a language; foreign ones are those that only another has."""
FOREIGN = {
    "zh": "\u3040-\u30ff\uac00-\ud7a3",
    "ko": "\u3040-\u30ff\u4e00-\u9fff",
    "ja": "\uac00-\ud7a3",
}
QUOTED = {
    "en": r"(?<!\*)\*([^*\n]+)\*(?!\*)",
    "zh": "“([^”]+)”",
    "ko": "\u2018([^\u2019]+)\u2019",
    "ja": "「([^」]+)」",
}
"""How pages mark names of nodes and of what ComfyUI's page shows."""
COMFYUI = {
    "en": {"Load Image", "Save Image", "Open in Mask Editor", "Clear", "Join Image with Alpha"},
    "zh": {"加载图像", "保存图像", "用遮罩编辑器打开", "清除", "合并图像Alpha"},
    "ko": {
        "이미지 로드",
        "이미지 저장",
        "마스크 편집기에서 열기",
        "지우기",
        "알파와 함께 이미지 결합",
    },
    "ja": {
        "画像を読み込む",
        "画像を保存",
        "マスクエディタで開く",
        "クリア",
        "アルファで画像を結合",
    },
}
"""What its own translations call these (ComfyUI 0.18.1 and 0.33)."""
ELSEWHERE = {"Painter: Node 2.0 only"}
"""Messages of ComfyUI itself."""
FILES = {
    *("bundled/...", "NAME.refine.onnx", "NAME.encode.onnx", "NAME.report.json"),
    *("network-bsds500.pytorch", "ControlNetHED.pth", "face_landmarker.task", "fill_a_batch"),
    *("0-10", "conv1", "allconv*", "coarse.*", "more_...", "bf16"),
}
"""What else stands in pages as code: files, and patterns of names."""
LARGEST_PICTURE = 120_000
SAME = re.compile(r"[xy]|.*(PSNR|SSIM)")
"""Names that are the same in all languages."""

every_node = pytest.mark.parametrize("node", NODES)
every_page = pytest.mark.parametrize(
    ("node", "language"), [(node, language) for node in NODES for language in LANGUAGES]
)
every_translation = pytest.mark.parametrize("language", LANGUAGES[1:])


def test_there_are_pages_for_the_nodes_that_there_are_and_no_others(pack):
    assert set(NODES) == set(pack.nodes)
    assert {path.name for path in DOCS.iterdir()} == {*NODES, "assets"}
    for node in NODES:
        assert {path.name for path in (DOCS / node).iterdir()} == {f"{x}.md" for x in LANGUAGES}


@every_page
def test_a_page_is_titled_as_the_node_and_has_all_parts(node, language):
    text = page(node, language)
    assert text.startswith(f"# {locale(language)[node]['display_name']}\n")
    assert len(re.findall("^## ", text, flags=re.MULTILINE)) in (4, 5)  # papers, of some
    assert len(tables(text)) == 3 and all(tables(text))


@every_page
def test_the_tables_name_each_input_as_the_page_shows_it_and_what_it_takes(pack, node, language):
    rows, slots = tables(page(node, language))[INPUTS], pack.schema(node).inputs
    names = locale(language)[node]["inputs"]
    assert [row[0] for row in rows] == [shown(names[x.id]["name"], x.id) for x in slots]
    for row, slot in zip(rows, slots, strict=True):
        text, _, facts = row[1].rpartition("<br>")
        assert facts == facts_of(slot, language), slot.id
        assert len(text) > 4 and text[-1] in ".。)", slot.id


@every_page
def test_the_tables_name_each_output(pack, node, language):
    rows, slots = tables(page(node, language))[OUTPUTS], pack.schema(node).outputs
    names = locale(language)[node]["outputs"]
    expected = [shown(names[str(i)]["name"], x.given["display_name"]) for i, x in enumerate(slots)]
    assert [row[0] for row in rows] == expected
    assert all(len(row[1]) > 1 and row[1][-1] in ".。)" for row in rows)


def shown(name: str, key: str) -> str:
    """The translated name with the node's own, by which errors call it."""
    return f"`{name}`" if name == key else f"`{name}` {key}"


@every_page
def test_all_options_of_a_choice_are_explained(pack, node, language):
    rows = tables(page(node, language))[INPUTS]
    for row, slot in zip(rows, pack.schema(node).inputs, strict=True):
        options = slot.given.get("options") or []
        if 1 < len(options) <= 8 and slot.id not in ("graph", "model_name"):
            missing = [x for x in options if f"`{x}`" not in row[1]]
            assert not missing or node in ("GatefillSketchFromImage",), (slot.id, missing)


@every_page
def test_what_a_page_names_is_there(pack, node, language):
    text, words = page(node, language), locale(language)
    own = {x["display_name"].removesuffix(" (Gatefill)") for x in words.values()}
    plain = re.sub(PICTURE, "", text)
    for name in re.findall(QUOTED[language], re.sub(r"`[^`\n]*`", "", plain)):
        assert name in own | COMFYUI[language], name
    known = FILES | ELSEWHERE | names_of(pack, words[node]) | options_of(pack) | stems()
    for code in re.findall(r"`([^`\n]+)`", plain):
        if code in known or re.fullmatch(
            r"#[0-9a-f]{6}|python -m core import .*|\{.*\}|'\w+'", code
        ):
            continue
        assert is_said(code, options_of(pack)), code


def names_of(pack, words) -> set[str]:
    """Those of inputs and outputs, translated and own, of all nodes."""
    found = {slot.id for node in NODES for slot in pack.schema(node).inputs}
    found |= {x.given["display_name"] for node in NODES for x in pack.schema(node).outputs}
    return found | {x["name"] for part in ("inputs", "outputs") for x in words[part].values()}


def options_of(pack) -> set[str]:
    """The options of all choices."""
    slots = [slot for node in NODES for slot in pack.schema(node).inputs]
    return {str(x) for slot in slots for x in slot.given.get("options") or []}


def stems() -> set[str]:
    """The bundled weights, by all their names."""
    files = list((ROOT / "weights").glob("*.safetensors"))
    return {name for x in files for name in (x.stem, f"bundled/{x.name}")}


def is_said(quote: str, values: set[str]) -> bool:
    """Whether the project has a message that a page quotes, with "..." for what is left out."""
    longest = sorted(map(re.escape, {*values, "the map"}), key=len, reverse=True)
    parts = re.split(rf"\.\.\.|'\w+'|\b(?:{'|'.join(longest)})\b", quote)
    kept = [part.strip() for part in parts if part.strip(" ,")]
    pattern = re.compile(".*".join(map(re.escape, kept)), flags=re.DOTALL)
    return bool(kept) and any(pattern.search(message) for message in messages())


@cache
def messages() -> list[str]:
    """Every text in the code of the nodes and the core, with a mark for what is put in."""
    found = []
    for path in [*(ROOT / "nodes").glob("*.py"), *(ROOT / "core").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                values = [x.value if isinstance(x, ast.Constant) else "\0" for x in node.values]
                found.append("".join(values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return [text for text in found if len(text) > 8]


@every_page
def test_every_picture_is_there_and_says_what_it_shows(node, language):
    for alt, target in PICTURE.findall(page(node, language)):
        # The page of ComfyUI takes links as relative to the folder of all pages.
        assert (DOCS / target).is_file() and target.startswith("assets/"), target
        assert len(alt) > 5


def test_pictures_are_small_and_used():
    used = {x for n in NODES for _, x in PICTURE.findall(page(n, "en"))}
    there = {f"assets/{path.name}" for path in ASSETS.iterdir()}
    assert there == used
    for path in ASSETS.iterdir():
        assert path.stat().st_size <= LARGEST_PICTURE, path.name
        with Image.open(path) as picture:
            assert 400 <= picture.width <= 1200


@every_node
def test_the_languages_show_the_same_pictures(node):
    shown = [[x for _, x in PICTURE.findall(page(node, language))] for language in LANGUAGES]
    assert shown.count(shown[0]) == len(LANGUAGES)


def test_the_english_words_are_those_of_the_schemas(pack):
    found = locale("en")
    assert found == {node: words_of(pack.schema(node)) for node in pack.nodes}, (
        "run tests/scripts/write_en_locale.py"
    )


@every_translation
def test_translations_have_the_words_that_there_are_and_no_others(language):
    assert paths_of(locale(language)) == paths_of(locale("en"))


@every_translation
def test_display_names_are_of_their_own_and_say_the_pack(language):
    names = [words["display_name"] for words in locale(language).values()]
    assert all(name.endswith(" (Gatefill)") for name in names) and len(set(names)) == len(names)


@every_translation
def test_slots_of_a_node_have_names_of_their_own(language):
    for node, words in locale(language).items():
        for part in ("inputs", "outputs"):
            names = [x["name"] for x in words[part].values()]
            assert len(set(names)) == len(names), (node, part)


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_are_plain_text_to_the_page(language):
    """These are syntax of vue-i18n, by which ComfyUI's page reads them."""
    for words in strings(locale(language)):
        assert not re.search(r"[{}|@]", words) and words == words.strip(), words


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_category_has_a_name(pack, language):
    path = ROOT / "locales" / language / "main.json"
    words = json.loads(path.read_text(encoding="utf-8"))
    assert set(words) == {"nodeCategories"}
    parts = {x for node in pack.nodes for x in pack.schema(node).category.split("/")}
    assert set(words["nodeCategories"]) == parts


@every_translation
def test_no_english_is_left_in_translations(language):
    for words in strings(locale(language)):
        if not SAME.fullmatch(words):
            assert_translated(words, language)


@every_translation
@every_node
def test_no_english_is_left_in_pages(node, language):
    text = page(node, language).rpartition(f"## {PAPERS[language]}")[0] or page(node, language)
    for line in re.sub(r"`[^`\n]*`|\]\([^)]*\)|<br>.*", " ", text).splitlines():
        for part in re.split("[|#]", line):
            if not re.fullmatch(r"[\W\d]*(\w+|.*\(Gatefill\))?\s*", part, flags=re.ASCII):
                assert_translated(part, language)


PAPERS = {"zh": "论文", "ko": "논문", "ja": "論文"}


def assert_translated(words: str, language: str) -> None:
    """Assert that it is written in that language, but for names of files, options and the like."""
    own = re.findall(f"[{SCRIPTS[language]}]", words)
    names = re.findall(r"[A-Za-z][\w./*-]*", words, flags=re.ASCII)
    assert len(own) >= max(1, len(names) / 2), words
    assert not re.search(f"[{FOREIGN[language]}]", words), words
    assert not re.search(r"(?:\b[A-Za-z]+ ){4}", words), words


def strings(words) -> list[str]:
    """All texts of a translation."""
    return [words] if isinstance(words, str) else [y for x in words.values() for y in strings(x)]


def test_every_page_is_named_in_the_guide():
    guide = Path(ROOT, "docs", "comfyui.md").read_text(encoding="utf-8")
    readme = Path(ROOT, "README.md").read_text(encoding="utf-8")
    for words in locale("en").values():
        name = words["display_name"].removesuffix(" (Gatefill)")
        assert name in guide and name in readme, name
