// What was done, in order: strokes, fills and wipes; each can be undone and done again.
//
// An action is {kind: 'stroke', ...}, {kind: 'clear'} or {kind: 'fill', patches}. A fill keeps the
// pixels it replaced, so that the photo as it was needs no second canvas.

export class History {
  constructor() {
    this.done = [];
    this.undone = [];
  }

  push(action) {
    this.done.push(action);
    this.undone = [];
  }

  /** Takes back the last action and returns it, or undefined. */
  undo() {
    const action = this.done.pop();
    if (action) this.undone.push(action);
    return action;
  }

  /** Does the last undone action again and returns it, or undefined. */
  redo() {
    const action = this.undone.pop();
    if (action) this.done.push(action);
    return action;
  }

  /** The strokes that are to be seen: those since the last fill or wipe. */
  get strokes() {
    const end = this.done.findLastIndex((action) => action.kind !== 'stroke');
    return this.done.slice(end + 1);
  }

  get fills() {
    return this.done.filter((action) => action.kind === 'fill');
  }
}
