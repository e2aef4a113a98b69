/** An error whose message is meant for people. `code` names it: what the page offers depends on it. */
export class Problem extends Error {
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}
