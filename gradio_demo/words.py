"""What the page says, in English, Chinese, Korean and Japanese.

Labels are translated by Gradio in the browser (`translations`); what changes with numbers in it is
said here (`said`), in the language that the browser asks for. Errors are those of `core`, in
English.
"""

LANGUAGES = ("en", "zh", "ko", "ja")

WORDS: dict[str, tuple[str, str, str, str]] = {
    # parts of the page
    "edit": ("Edit", "编辑", "편집", "編集"),
    "batch": ("Batch", "批量", "일괄", "一括"),
    "compare": ("Compare", "对比", "비교", "比較"),
    "api": ("API", "API", "API", "API"),
    "about": ("About", "关于", "정보", "情報"),
    "editor": ("Picture editor", "图片编辑器", "그림 편집기", "画像エディター"),
    "how": ("How to fill", "填充方式", "채우는 방법", "補完の設定"),
    "lines": ("Lines from the picture", "从图片提取线条", "그림에서 선 따기", "画像から線画"),
    "views": (
        "What the network looks at",
        "网络在看什么",
        "네트워크가 보는 곳",
        "ネットワークの注目先",
    ),
    # settings
    "network": ("Network", "网络", "네트워크", "ネットワーク"),
    "backend": ("Runs by", "运行方式", "실행 방식", "実行方式"),
    "strategy": ("Strategy", "策略", "방식", "方式"),
    "strategy_info": (
        "full: whole picture; crop: each hole by itself; single: all in one pass",
        "full：整幅图；crop：逐个区域；single：一次完成",
        "full: 전체, crop: 구멍마다, single: 한 번에",
        "full：全体、crop：穴ごと、single：一度に",
    ),
    "grow": ("Grow the hole", "扩大区域", "구멍 넓히기", "穴を広げる"),
    "grow_info": (
        "Pixels, where the mask was drawn too tightly",
        "像素，蒙版画得太紧时使用",
        "픽셀, 마스크를 너무 좁게 그렸을 때",
        "ピクセル。マスクが狭すぎるとき",
    ),
    "feather": ("Feather", "羽化", "경계 부드럽게", "境界をぼかす"),
    "feather_info": (
        "Pixels over which fill and picture blend; 0 leaves the picture exactly as it is",
        "过渡像素；0 表示图片其余部分保持不变",
        "섞이는 픽셀 수, 0이면 그림은 그대로",
        "なじませる幅。0 なら元画像はそのまま",
    ),
    "seed": ("Seed", "种子", "시드", "シード"),
    "seed_info": (
        "0: in the style of the picture",
        "0：沿用图片的风格",
        "0: 그림의 분위기대로",
        "0：画像の雰囲気に合わせる",
    ),
    "style": ("Style picture", "风格图片", "분위기 그림", "スタイル画像"),
    "kind": ("Found by", "方法", "찾는 방법", "方法"),
    # actions
    "fill": ("Fill", "填充", "채우기", "補完"),
    "cancel": ("Cancel", "取消", "취소", "キャンセル"),
    "sketch": ("Sketch from picture", "由图片生成草图", "그림에서 스케치", "画像からスケッチ"),
    "attention": ("Attention", "注意力", "어텐션", "アテンション"),
    "gates": ("Gates", "门控", "게이트", "ゲート"),
    "fill_all": ("Fill all", "全部填充", "모두 채우기", "すべて補完"),
    "compare_now": ("Compare", "对比", "비교하기", "比較する"),
    # batch and compare
    "pictures": ("Pictures, or a zip of them", "图片或压缩包", "그림 또는 zip", "画像または zip"),
    "masks": (
        "Masks, if they are not among the pictures",
        "蒙版（若不在图片之中）",
        "마스크 (그림과 따로일 때)",
        "マスク（画像と別の場合）",
    ),
    "batch_help": (
        "The mask of `cat.jpg` is `cat.mask.png` or `cat_mask.png` beside it, or `cat.png` among "
        "the masks; a single mask serves all. White is the hole. Sketches are `cat.sketch.png`.",
        "`cat.jpg` 的蒙版为同处的 `cat.mask.png` 或 `cat_mask.png`，或蒙版中的 `cat.png`；"
        "单个蒙版用于所有图片。白色为待填区域。草图为 `cat.sketch.png`。",
        "`cat.jpg` 의 마스크는 함께 둔 `cat.mask.png`, `cat_mask.png` 또는 마스크 중의 `cat.png` "
        "이며, 하나뿐이면 모두에 쓰입니다. 흰색이 구멍입니다. 스케치는 `cat.sketch.png` 입니다.",
        "`cat.jpg` のマスクは同じ場所の `cat.mask.png` か `cat_mask.png`、またはマスクの中の "
        "`cat.png` です。一つだけなら全画像に使います。白が穴です。スケッチは `cat.sketch.png`。",
    ),
    "batch_results": (
        "A zip of the filled pictures comes here, with a report that has a line for each of them. "
        "A picture that fails does not stop the others.",
        "填充后的图片以 zip 形式出现在这里，并附报告，每张图片一行。某张失败不影响其他图片。",
        "채운 그림들의 zip 이 여기에 나옵니다. 그림마다 한 줄인 보고서가 함께 있으며, "
        "하나가 실패해도 나머지는 계속됩니다.",
        "補完した画像の zip がここに出ます。画像ごとに一行のレポートが付き、"
        "一枚が失敗しても残りは続きます。",
    ),
    "column_image": ("Picture", "图片", "그림", "画像"),
    "column_size": ("Size", "大小", "크기", "サイズ"),
    "column_hole": ("Hole %", "区域 %", "구멍 %", "穴 %"),
    "column_seconds": ("Seconds", "秒", "초", "秒"),
    "results": ("Results and report", "结果与报告", "결과와 보고서", "結果とレポート"),
    "report": ("Report", "报告", "보고서", "レポート"),
    "compare_help": (
        "The picture and the hole of the editor, filled twice.",
        "用两种方式填充编辑器中的同一区域。",
        "편집기의 같은 구멍을 두 가지로 채웁니다.",
        "エディターの同じ穴を二通りで補完します。",
    ),
    "compare_empty": (
        "There is no picture in the editor yet: open one in the tab Edit, and brush over a hole.",
        "编辑器中还没有图片：请在“编辑”中打开图片并画出要填充的区域。",
        "편집기에 아직 그림이 없습니다. 편집 탭에서 그림을 열고 구멍을 칠하세요.",
        "エディターにまだ画像がありません。「編集」で画像を開き、穴を塗ってください。",
    ),
    "compare_slider": (
        "First on the left, second on the right",
        "左为第一，右为第二",
        "왼쪽이 첫째, 오른쪽이 둘째",
        "左が一つ目、右が二つ目",
    ),
    "download": ("Download", "下载", "내려받기", "ダウンロード"),
    "not_taken": (
        "Without the {layers} that you drew: this network takes none",
        "未使用所绘{layers}：此网络不支持",
        "그린 {layers} 은(는) 이 네트워크가 받지 않아 쓰지 않았습니다",
        "描いた{layers}は、このネットワークが受け取らないので使っていません",
    ),
    "layer_sketch": ("lines", "草图", "스케치", "スケッチ"),
    "layer_color": ("colors", "颜色", "색", "色"),
    "layer_semantic": ("map", "语义图", "의미 지도", "意味マップ"),
    "first": ("First", "第一", "첫째", "一つ目"),
    "second": ("Second", "第二", "둘째", "二つ目"),
    "picture": ("Picture", "图片", "그림", "画像"),
    # what happens
    "waiting": ("Waiting for a turn", "排队中", "차례를 기다리는 중", "順番待ち"),
    "reading": ("Reading", "读取中", "읽는 중", "読み込み中"),
    "filling": ("Filling", "填充中", "채우는 중", "補完中"),
    "part": (
        "{doing}, {number} of {count}",
        "{doing}（{number}/{count}）",
        "{doing} ({number}/{count})",
        "{doing}（{number}/{count}）",
    ),
    "writing": ("Writing", "写入中", "쓰는 중", "書き込み中"),
    "cancelled": (
        "Cancelled; nothing was changed",
        "已取消，未作更改",
        "취소됨, 바뀐 것 없음",
        "キャンセルしました。変更はありません",
    ),
    "ready": ("Ready", "就绪", "준비됨", "準備完了"),
    "filled": (
        "Filled in {seconds} s by {network}, {runs_on}; the hole is {hole} %",
        "{network} 用时 {seconds} 秒完成填充（{runs_on}），区域占 {hole} %",
        "{network} ({runs_on}) {seconds}초 만에 채움, 구멍 {hole} %",
        "{network}（{runs_on}）が {seconds} 秒で補完、穴は {hole} %",
    ),
    "drawn": (
        "Lines drawn; correct them with brush and eraser",
        "线条已生成，可用画笔和橡皮擦修改",
        "선을 땄습니다. 브러시와 지우개로 고치세요",
        "線を描きました。ブラシと消しゴムで直せます",
    ),
    "loaded": (
        "{task}: press Fill",
        "{task}：请按“填充”",
        "{task}: 채우기를 누르세요",
        "{task}：「補完」を押してください",
    ),
    "batch_done": (
        "{done} filled, {failed} failed, by {network}, {runs_on}",
        "完成 {done}，失败 {failed}（{network}，{runs_on}）",
        "{done}개 채움, {failed}개 실패 ({network}, {runs_on})",
        "{done} 件完了、{failed} 件失敗（{network}、{runs_on}）",
    ),
    "looked": (
        "As {network} fills it",
        "{network} 填充时",
        "{network} 가 채울 때",
        "{network} の補完時",
    ),
    "no_picture": (
        "Open a picture first, or choose a sample",
        "请先打开图片或选择示例",
        "먼저 그림을 열거나 예시를 고르세요",
        "先に画像を開くかサンプルを選んでください",
    ),
}
"""Key -> what is said in each of `LANGUAGES`; {x} is replaced by a value."""


def translations() -> dict[str, dict[str, str]]:
    """Language -> key -> text, as `gr.I18n` takes them."""
    return {
        language: {key: texts[number] for key, texts in WORDS.items()}
        for number, language in enumerate(LANGUAGES)
    }


def said(key: str, language: str = "en", **values: object) -> str:
    """The text of a key in a language, with its values."""
    return WORDS[key][LANGUAGES.index(language)].format(**values)


def language_of(accepted: str) -> str:
    """The best of `LANGUAGES` for what a browser accepts, as "ko-KR,ko;q=0.9,en;q=0.8"."""
    wishes = []
    for place, wish in enumerate(accepted[:400].split(",")):
        tag, _, weight = wish.partition(";")
        name = tag.strip().lower().partition("-")[0]
        if name in LANGUAGES:
            wishes.append((-_weight(weight), place, name))
    return min(wishes)[2] if wishes else LANGUAGES[0]


def _weight(text: str) -> float:
    """That of a wish, as q=0.8 -> 0.8; 1 where nothing is said."""
    _, _, number = text.strip().partition("q=")
    try:
        return float(number)
    except ValueError:
        return 1.0
