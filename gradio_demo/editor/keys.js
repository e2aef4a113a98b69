// Keys, heard where the editor has the focus and nowhere else.

const STEP = 1.25; // of the size, for one press
const STRIDE = 0.5; // of the brush, for one press of an arrow key
const PLAIN_KEYS = {
  b: (editor) => editor.chooseTool('brush'),
  e: (editor) => editor.chooseTool('eraser'),
  l: (editor) => editor.chooseTool('line'),
  r: (editor) => editor.chooseTool('box'),
  o: (editor) => editor.chooseTool('lasso'),
  i: (editor) => editor.chooseTool('pipette'),
  h: (editor) => editor.hide(editor.layer),
  f: (editor) => editor.view.fit(),
  0: (editor) => editor.view.fit(),
  9: (editor) => editor.view.actual(),
  '+': (editor) => editor.view.zoomBy(STEP),
  '=': (editor) => editor.view.zoomBy(STEP),
  '-': (editor) => editor.view.zoomBy(1 / STEP),
  '[': (editor) => editor.resizeBrush(Math.min(editor.hand.size / STEP, editor.hand.size - 1)),
  ']': (editor) => editor.resizeBrush(Math.max(editor.hand.size * STEP, editor.hand.size + 1)),
  '{': (editor) => editor.soften(editor.hand.softness - 0.1),
  '}': (editor) => editor.soften(editor.hand.softness + 0.1),
  a: (editor) => editor.filling.toggle(),
  '?': (editor) => editor.help.showModal(),
  ...Object.fromEntries(LAYERS.map((name, i) => [i + 1, (editor) => editor.chooseLayer(name)])),
};
const CONTROL_KEYS = {
  z: (editor, shift) => editor.step(!shift),
  y: (editor) => editor.step(false),
  i: (editor) => editor.invert(),
  o: (editor) => editor.openInput.click(),
  Enter: (editor) => editor.run(),
};
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** The list of keys: [keys, meaning in the four languages]; gestures are words in four languages too. */
const SHORTCUTS = [
  ['Enter | Ctrl+Enter', 'Fill', '填充', '채우기', '補完'],
  ['A', 'Fill at once, whenever the brush is lifted from the mask: on or off', '蒙版画完即填充：开或关', '마스크에서 붓을 떼면 바로 채우기: 켜기/끄기', 'マスクを描き終えるとすぐ補完：オン・オフ'],
  ['B | E | L | R | O', 'Brush, eraser, line, box, lasso', '画笔、橡皮擦、直线、矩形、套索', '브러시, 지우개, 직선, 사각형, 올가미', 'ブラシ、消しゴム、直線、四角形、なげなわ'],
  ['I', 'Pipette: colour or label under the pointer', '吸管：取指针下的颜色或标签', '스포이트: 포인터 아래의 색이나 레이블', 'スポイト：ポインター下の色やラベル'],
  ['[ | ]', 'Smaller, larger brush', '缩小、放大画笔', '브러시 작게, 크게', 'ブラシを小さく、大きく'],
  ['{ | }', 'Harder, softer brush', '画笔更硬、更柔', '브러시 단단하게, 부드럽게', 'ブラシを硬く、柔らかく'],
  ['1 | 2 | 3 | 4', 'Mask, sketch, color, semantic', '蒙版、草图、颜色、语义', '마스크, 스케치, 색, 의미', 'マスク、スケッチ、色、意味'],
  ['H', 'Hide or show the layer', '隐藏或显示图层', '레이어 숨기기/보이기', 'レイヤーの表示切替'],
  ['Ctrl+Z', 'Undo', '撤销', '실행 취소', '元に戻す'],
  ['Ctrl+Shift+Z | Ctrl+Y', 'Redo', '重做', '다시 실행', 'やり直す'],
  ['Ctrl+I', 'Mask what is not masked, and nothing else', '反转蒙版', '마스크 반전', 'マスクを反転'],
  ['Esc', 'Take back the stroke that is being drawn; cancel the fill that runs', '取消正在绘制的笔画；取消正在进行的填充', '그리던 획 취소; 진행 중인 채우기 취소', '描いている途中の線を取り消す；実行中の補完をキャンセル'],
  ['Tab', 'Held, once there is a result: the picture before', '有结果后按住：显示之前的图片', '결과가 있을 때 누르고 있으면: 이전 그림', '結果があるとき押している間：前の画像'],
  ['Esc | Tab', 'One after the other: leave the picture (Shift+Tab: backwards)', '依次按下：离开图片（Shift+Tab：向后）', '차례로: 그림에서 나가기 (Shift+Tab: 뒤로)', '続けて押す：画像から出る（Shift+Tab：戻る）'],
  ['← ↑ ↓ → | Space', 'Move the brush; draw while Space is held', '移动画笔；按住空格绘制', '브러시 이동; Space 를 누르고 그리기', 'ブラシを動かす；Space を押している間は描く'],
  ['+ | −', 'Zoom', '缩放', '확대/축소', '拡大・縮小'],
  ['F | 9', 'Fit, actual pixels', '适应、实际像素', '맞춤, 실제 픽셀', '全体、等倍'],
  ['Ctrl+O | Ctrl+V', 'Open a picture, paste one', '打开图片、粘贴图片', '그림 열기, 붙여넣기', '画像を開く、貼り付ける'],
  ['?', 'This list', '本列表', '이 목록', 'この一覧'],
  [['Wheel', '滚轮', '휠', 'ホイール'], 'Zoom', '缩放', '확대/축소', '拡大・縮小'],
  [['Space, middle button: drag', '空格或中键：拖动', 'Space, 가운데 단추: 끌기', 'Space、中ボタン：ドラッグ'], 'Move the picture', '移动图片', '그림 옮기기', '画像を動かす'],
  [['Shift: drag', 'Shift：拖动', 'Shift: 끌기', 'Shift：ドラッグ'], 'Lines by 45°, square boxes', '45° 直线、正方形', '45° 직선, 정사각형', '45° の直線、正方形'],
  [['Right button, eraser of a pen', '右键、笔的橡皮擦', '오른쪽 단추, 펜 지우개', '右ボタン、ペンの消しゴム'], 'Erase with any tool', '用任意工具擦除', '아무 도구로 지우기', 'どのツールでも消す'],
  [['One finger | Two fingers', '单指 | 双指', '한 손가락 | 두 손가락', '1 本指 | 2 本指'], 'Draw; move and zoom', '绘制；移动与缩放', '그리기; 이동과 확대', '描く；移動と拡大縮小'],
];

class Keys {
  constructor(editor) {
    Object.assign(this, { editor, space: false, comparing: false, leaving: false, place: null });
    editor.root.addEventListener('keydown', (event) => this.#down(event));
    editor.root.addEventListener('keyup', (event) => this.#up(event));
    editor.root.addEventListener('focusout', () => this.#rest());
    this.#listenForEscape();
    editor.help.querySelector('.gf-keys').append(...SHORTCUTS.map(shortcutRow));
  }

  /** Escape ends what runs, wherever on the tab of the editor the focus is. */
  #listenForEscape() {
    const { root, filling, hand } = this.editor;
    const escape = (event) => {
      if (!root.isConnected) return document.removeEventListener('keydown', escape);
      const { key, target, defaultPrevented } = event;
      if (key !== 'Escape' || defaultPrevented || isWriting(target) || !root.offsetParent) return;
      if (filling.isRunning && !hand.work && !document.querySelector('dialog[open]')) filling.stop();
    };
    document.addEventListener('keydown', escape);
  }

  #down(event) {
    if (event.altKey || isWriting(event.target) || this.editor.root.querySelector('dialog[open]')) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const act = this.#action(key, event);
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act(this.editor, event.shiftKey);
  }

  /** What a key does, or undefined. Buttons and sliders keep the keys by which they are used. */
  #action(key, event) {
    if (event.ctrlKey || event.metaKey) return CONTROL_KEYS[key];
    if (event.target === this.editor.view.canvas) {
      const act = this.#onCanvas(key, event);
      if (act) return act;
    }
    return PLAIN_KEYS[key];
  }

  #onCanvas(key, { repeat, shiftKey }) {
    const { editor } = this;
    if (key !== 'Tab') this.leaving = false;
    if (key === 'Enter') return () => editor.run();
    if (key === 'Escape') return () => this.#escape();
    if (key === ' ') return () => repeat || this.#press();
    if (ARROWS[key] && editor.sheet) return () => this.#stride(...ARROWS[key]);
    const compares = key === 'Tab' && !shiftKey && editor.desk.canCompare && !this.leaving;
    return compares ? () => this.#compare(true) : undefined;
  }

  #compare(is) {
    if (is !== this.comparing) this.editor.desk.hold(is);
    this.comparing = is;
  }

  #escape() {
    this.space = false;
    if (this.editor.hand.cancel()) return this.editor.say('cancelled');
    if (this.editor.filling.isRunning) return this.editor.filling.stop();
    this.leaving = true;
    this.editor.say('leave');
  }

  /** Space draws where the arrow keys have led the brush; otherwise dragging moves the picture. */
  #press() {
    if (this.place) this.editor.hand.begin(this.place);
    else this.space = true;
    this.editor.root.dataset.space = this.space;
  }

  #stride(across, down) {
    const { editor } = this;
    const { width, height } = editor.sheet.picture;
    const step = Math.max(editor.hand.size * STRIDE, 1);
    const { x, y } = this.place ?? editor.overlay.place ?? { x: width / 2, y: height / 2 };
    this.place = { x: clamp(x + across * step, 0, width), y: clamp(y + down * step, 0, height) };
    editor.overlay.moveTo(this.place);
    editor.hand.move([this.place]);
  }

  /** The pointer moves the brush again. */
  forgetPlace() {
    this.place = null;
  }

  #up({ key }) {
    if (key === ' ') {
      this.space = false;
      if (this.place) this.editor.hand.end();
      this.editor.root.dataset.space = false;
    }
    if (key === 'Tab') this.#compare(false);
  }

  /** Keys that are let go elsewhere are not heard here. */
  #rest() {
    this.space = this.leaving = false;
    this.#compare(false);
  }
}

/** Whether keys are for writing: into a text box, a list, a field for numbers. */
function isWriting(target) {
  if (target.isContentEditable || target.matches('textarea, select')) return true;
  return target.matches('input') && !['range', 'color', 'checkbox', 'radio', 'file'].includes(target.type);
}

function shortcutRow([keys, ...meanings]) {
  const at = LANGUAGES.indexOf(LANGUAGE);
  const row = document.createElement('tr');
  const [head, meaning] = [document.createElement('th'), document.createElement('td')];
  head.scope = 'row';
  for (const key of (Array.isArray(keys) ? keys[at] : keys).split(' | ')) {
    head.append(Object.assign(document.createElement('kbd'), { textContent: key }), ' ');
  }
  meaning.textContent = meanings[at];
  row.append(head, meaning);
  return row;
}
