// What the editor says, in the four languages, and the choice of one.

const LANGUAGES = ['en', 'zh', 'ko', 'ja'];

/** Key: [English, Chinese, Korean, Japanese]; {x} is replaced by a value. */
const WORDS = {
  // ---- the parts of the page ----
  editor: ['Picture editor', '图片编辑器', '그림 편집기', '画像エディター'],
  canvas: [
    'Picture to draw on. Press ? for the keys, Escape and then Tab to leave.',
    '可绘制的图片。按 ? 查看按键，先按 Escape 再按 Tab 离开。',
    '그림을 그리는 곳. ? 키는 단축키 목록, Escape 다음 Tab 은 나가기.',
    '描き込む画像。? でキー一覧、Escape のあと Tab で外へ出ます。',
  ],
  fileBar: ['Picture', '图片', '그림', '画像'],
  viewBar: ['View', '视图', '보기', '表示'],
  actionBar: ['This layer', '当前图层', '현재 레이어', '現在のレイヤー'],
  layerBar: ['Layers', '图层', '레이어', 'レイヤー'],
  toolBar: ['Tools', '工具', '도구', 'ツール'],
  brushBar: ['Brush', '画笔', '브러시', 'ブラシ'],
  resultBar: ['Result', '结果', '결과', '結果'],
  samples: ['Samples', '示例', '예시', 'サンプル'],
  orSample: ['or begin with one of these', '或从这些示例开始', '또는 이 예시로 시작하세요', 'または次のサンプルから始める'],
  more: ['More tools', '更多工具', '도구 더 보기', 'その他のツール'],
  strip: ['Results so far', '历史结果', '지금까지의 결과', 'これまでの結果'],
  labels: ['Labels of the map', '语义标签', '의미 레이블', '意味ラベル'],

  // ---- layers and tools ----
  mask: ['Mask', '蒙版', '마스크', 'マスク'],
  sketch: ['Sketch', '草图', '스케치', 'スケッチ'],
  color: ['Color', '颜色', '색', '色'],
  semantic: ['Semantic', '语义', '의미', '意味'],
  brush: ['Brush', '画笔', '브러시', 'ブラシ'],
  eraser: ['Eraser', '橡皮擦', '지우개', '消しゴム'],
  line: ['Line', '直线', '직선', '直線'],
  box: ['Box', '矩形', '사각형', '四角形'],
  lasso: ['Lasso', '套索', '올가미', 'なげなわ'],
  pipette: ['Pipette', '吸管', '스포이트', 'スポイト'],
  hide: ['Hide or show {layer}', '隐藏或显示{layer}', '{layer} 숨기기/보이기', '{layer}の表示切替'],
  opacity: ['Opacity of the layer on screen', '图层显示的不透明度', '화면의 레이어 불투명도', '表示の不透明度'],
  size: ['Size', '大小', '크기', 'サイズ'],
  sizeExact: ['Size in pixels of the picture', '大小（图片像素）', '크기 (그림 픽셀)', 'サイズ（画像のピクセル）'],
  softness: ['Softness', '柔和度', '부드러움', 'ぼかし'],
  paint: ['Colour to paint with', '绘制颜色', '칠할 색', '塗る色'],
  atOnce: ['Fill at once', '即时填充', '바로 채우기', 'すぐ補完'],
  atOnceHelp: [
    'Fill at once: whenever the brush is lifted from the mask',
    '即时填充：蒙版画完即填充',
    '바로 채우기: 마스크에서 붓을 떼면 채웁니다',
    'すぐ補完：マスクを描き終えるたびに補完',
  ],
  atOnceOn: ['What you mask now is filled at once', '现在蒙版画完即填充', '이제 마스크를 그리면 바로 채웁니다', '描いたマスクはすぐ補完されます'],
  atOnceOff: ['What you mask now waits for Fill', '现在需按“填充”', '이제 채우기를 눌러야 채웁니다', '「補完」を押すまで待ちます'],
  clear: ['Clear the layer', '清空图层', '레이어 비우기', 'レイヤーを消去'],
  invert: ['Invert the mask', '反转蒙版', '마스크 반전', 'マスクを反転'],
  upload: ['Load the layer from a file', '从文件载入图层', '파일에서 레이어 불러오기', 'ファイルからレイヤーを読み込む'],
  save: ['Save the layer as PNG', '将图层存为 PNG', '레이어를 PNG로 저장', 'レイヤーを PNG で保存'],

  // ---- picture and view ----
  open: ['Open', '打开', '열기', '開く'],
  camera: ['Camera', '拍照', '카메라', 'カメラ'],
  welcome: ['Drop a picture here, paste one, or open a file', '将图片拖到此处、粘贴或打开文件', '그림을 끌어다 놓거나 붙여넣거나 파일을 여세요', '画像をドロップ、貼り付け、またはファイルを開く'],
  goOn: ['Go on with {name}', '继续编辑 {name}', '{name} 이어서 하기', '{name} の続きから'],
  forget: ['Forget it', '丢弃', '지우기', '破棄'],
  undo: ['Undo', '撤销', '실행 취소', '元に戻す'],
  redo: ['Redo', '重做', '다시 실행', 'やり直す'],
  zoomIn: ['Zoom in', '放大', '확대', '拡大'],
  zoomOut: ['Zoom out', '缩小', '축소', '縮小'],
  fit: ['Fit', '适应', '맞춤', '全体'],
  actual: ['Actual pixels', '实际像素', '실제 픽셀', '等倍'],
  full: ['Full screen', '全屏', '전체 화면', '全画面'],
  help: ['Keys and gestures', '按键与手势', '단축키와 제스처', 'キーと操作'],
  close: ['Close', '关闭', '닫기', '閉じる'],

  // ---- results ----
  before: ['Before', '之前', '이전', '前'],
  after: ['After', '之后', '이후', '後'],
  showResult: ['Show result', '显示结果', '결과 보기', '結果を表示'],
  compare: ['Hold: before', '按住：之前', '누르고 있기: 이전', '押している間：前'],
  split: ['Border between before and after', '前后分界', '이전과 이후의 경계', '前後の境界'],
  use: ['Go on from this', '以此继续', '이것으로 계속', 'これで続ける'],
  download: ['Download', '下载', '내려받기', 'ダウンロード'],
  original: ['Original', '原图', '원본', '元画像'],
  resultNumber: ['Result {number}', '结果 {number}', '결과 {number}', '結果 {number}'],

  // ---- what happened ----
  opened: ['{name}: {width} × {height} pixels', '{name}：{width} × {height} 像素', '{name}: {width} × {height} 픽셀', '{name}：{width} × {height} ピクセル'],
  opening: ['Opening {name}', '正在打开 {name}', '{name} 여는 중', '{name} を開いています'],
  undone: ['Undone: {what}', '已撤销：{what}', '실행 취소: {what}', '元に戻しました：{what}'],
  redone: ['Done again: {what}', '已重做：{what}', '다시 실행: {what}', 'やり直しました：{what}'],
  picture: ['picture', '图片', '그림', '画像'],
  cleared: ['{layer} cleared', '{layer}已清空', '{layer} 비움', '{layer}を消去しました'],
  inverted: ['{layer} inverted', '{layer}已反转', '{layer} 반전', '{layer}を反転しました'],
  loaded: ['{layer} loaded', '{layer}已载入', '{layer} 불러옴', '{layer}を読み込みました'],
  hidden: ['{layer} hidden; a fill still uses it', '{layer}已隐藏，填充时仍会使用', '{layer} 숨김 (채우기에는 쓰임)', '{layer}を隠しました（補完には使われます）'],
  shown: ['{layer} shown', '{layer}已显示', '{layer} 보임', '{layer}を表示しました'],
  cancelled: ['Stroke taken back', '已取消笔画', '획 취소', 'ストロークを取り消しました'],
  resultReady: ['Result ready', '结果已就绪', '결과 준비됨', '結果ができました'],
  resultLate: [
    'A result for the picture before is ready; it is in the strip below',
    '上一张图片的结果已就绪，见下方',
    '이전 그림의 결과가 아래에 있습니다',
    '前の画像の結果ができました（下の一覧にあります）',
  ],
  used: ['The result is the picture now', '结果已成为当前图片', '결과가 이제 그림입니다', '結果が現在の画像になりました'],
  leave: ['Tab leaves the picture now', '现在按 Tab 可离开图片', '이제 Tab 으로 나갑니다', '次の Tab で外へ出ます'],
  notTaken: ['This network takes no {layer} layer', '此网络不使用{layer}图层', '이 네트워크는 {layer} 레이어를 쓰지 않습니다', 'このネットワークは{layer}レイヤーを使いません'],
  noLabels: ['This network has named no labels', '此网络没有标签', '이 네트워크에는 레이블이 없습니다', 'このネットワークにはラベルがありません'],

  // ---- what went wrong ----
  notPicture: [
    '{name} is no picture that can be read here; give a PNG, JPEG, WebP, TIFF or BMP',
    '无法读取 {name}；请使用 PNG、JPEG、WebP、TIFF 或 BMP 图片',
    '{name}은(는) 읽을 수 있는 그림이 아닙니다. PNG, JPEG, WebP, TIFF, BMP 를 쓰세요',
    '{name} は読み込める画像ではありません。PNG、JPEG、WebP、TIFF、BMP を使ってください',
  ],
  notShown: [
    '{name} cannot be shown: {why}',
    '无法显示 {name}：{why}',
    '{name}을(를) 표시할 수 없습니다: {why}',
    '{name} を表示できません：{why}',
  ],
  tooLarge: [
    '{name} is {width} × {height} pixels, more than a canvas of this browser holds; make it smaller, or use the command line',
    '{name} 为 {width} × {height} 像素，超出浏览器画布的上限；请缩小图片或使用命令行',
    '{name}은(는) {width} × {height} 픽셀로 브라우저 캔버스의 한계를 넘습니다. 줄이거나 명령줄을 쓰세요',
    '{name} は {width} × {height} ピクセルで、ブラウザーのキャンバスの上限を超えます。縮小するかコマンドラインを使ってください',
  ],
  otherSize: [
    '{name} is {width} × {height} pixels but the picture is {across} × {down}; give a layer of the same size',
    '{name} 为 {width} × {height} 像素，而图片为 {across} × {down}；请使用相同大小的图层',
    '{name}은(는) {width} × {height}, 그림은 {across} × {down} 픽셀입니다. 같은 크기의 레이어를 쓰세요',
    '{name} は {width} × {height}、画像は {across} × {down} ピクセルです。同じ大きさのレイヤーを使ってください',
  ],
  otherLabels: [
    '{name} has {count} pixels of no label, the first {color} at x = {x}, y = {y}; give the colours of the labels or their numbers',
    '{name} 有 {count} 个像素不属于任何标签，首个为 x = {x}、y = {y} 处的 {color}；请使用标签的颜色或编号',
    '{name}에 레이블이 아닌 픽셀이 {count}개 있습니다 (처음: x = {x}, y = {y}, {color}). 레이블의 색이나 번호를 쓰세요',
    '{name} にラベルでないピクセルが {count} 個あります（最初：x = {x}, y = {y}、{color}）。ラベルの色か番号を使ってください',
  ],
  notSent: [
    '{name} could not be sent: {why}. Try again; nothing that you drew is lost',
    '{name} 发送失败：{why}。请重试，您的绘制没有丢失',
    '{name}을(를) 보내지 못했습니다: {why}. 다시 해 보세요. 그린 것은 그대로 있습니다',
    '{name} を送信できませんでした：{why}。もう一度お試しください。描いたものは失われていません',
  ],
  gone: [
    '{name} is no longer on the server ({why}); fill again',
    '{name} 已不在服务器上（{why}）；请重新填充',
    '{name}이(가) 서버에 없습니다 ({why}). 다시 채우세요',
    '{name} はサーバーにありません（{why}）。もう一度補完してください',
  ],
  noPicture: ['Open a picture first', '请先打开图片', '먼저 그림을 여세요', '先に画像を開いてください'],
  failed: ['That did not work: {why}', '操作失败：{why}', '실패했습니다: {why}', '失敗しました：{why}'],
};

/** The first language of the browser that the editor speaks; English if there is none. */
function chosenLanguage() {
  const wanted = [navigator.language, ...(navigator.languages ?? [])].map((code) => code.slice(0, 2));
  return wanted.find((code) => LANGUAGES.includes(code)) ?? 'en';
}

const LANGUAGE = chosenLanguage();

/** What `key` means in the visitor's language, with values put in. */
function words(key, values = {}) {
  const text = WORDS[key][LANGUAGES.indexOf(LANGUAGE)];
  return text.replace(/[{](\w+)[}]/g, (_, name) => values[name]);
}

/** Something that a visitor can cause; the message is shown as it is. */
class Problem extends Error {
  constructor(key, values = {}) {
    super(words(key, values));
    this.key = key;
  }
}
