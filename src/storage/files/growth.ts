/** How far staged bytes may be read by those who follow them. It wakes them when that changes: nobody polls. */
export class Growth {
  #size: number;
  #isVerified = false;
  #end: Error | undefined;
  readonly #followers = new Set<Follower>();

  constructor(size: number) {
    this.#size = size;
  }

  get isVerified(): boolean {
    return this.#isVerified;
  }

  /** Why there will be no more bytes. */
  get end(): Error | undefined {
    return this.#end;
  }

  /** The bytes that are there now. When they are fewer than before, whoever has read what was cut off is turned away. */
  landed(size: number): void {
    if (size < this.#size) {
      this.#isVerified = false;
      for (const follower of this.#followers) follower.cut(size);
    }
    this.#size = size;
    this.#wake();
  }

  /** The bytes that are there are the whole, and the right ones. */
  verified(): void {
    this.#isVerified = true;
    this.#wake();
  }

  /** The bytes are the wrong ones: ends all who follow now. */
  refuted(error: Error): void {
    for (const follower of this.#followers) follower.fail(error);
  }

  /** Ends all who follow now or later. */
  close(error: Error): void {
    this.#end ??= error;
    this.#wake();
  }

  /** Up to where a whole of `total` bytes may be read now: its last byte only when it is verified. */
  readableTo(total: number): number {
    if (!this.#isVerified) return Math.min(this.#size, total - 1);
    if (this.#size !== total) throw new Error(`the content has ${this.#size} bytes and not ${total}`);
    return total;
  }

  /** Someone who reads up to `end`, of `total` bytes that will be there. `leave` it in any case. */
  join(total: number, end: number): Follower {
    const follower: Follower = new Follower(this, total, end, () => this.#followers.delete(follower));
    this.#followers.add(follower);
    return follower;
  }

  #wake(): void {
    for (const follower of this.#followers) follower.wake();
  }
}

/** One who reads bytes while they come in. */
export class Follower {
  readonly #growth: Growth;
  readonly #total: number;
  readonly #end: number;
  readonly #onLeave: () => void;
  #claimed = 0;
  #failure: Error | undefined;
  #resume: (() => void) | undefined;

  constructor(growth: Growth, total: number, end: number, onLeave: () => void) {
    this.#growth = growth;
    this.#total = total;
    this.#end = end;
    this.#onLeave = onLeave;
  }

  /**
   * Waits until bytes may be read at the position; resolves to how many, and to 0 when all were read. One at a time.
   * @throws Error when they will not come, or when what was claimed before has changed.
   */
  async claim(position: number, max: number): Promise<number> {
    for (;;) {
      const failure = this.#failure ?? this.#growth.end;
      if (failure !== undefined) throw failure;
      const readable = Math.min(this.#growth.readableTo(this.#total), this.#end, position + max);
      // An empty whole has no last byte to withhold: its end is.
      if (position >= this.#end && (this.#end > 0 || this.#growth.isVerified)) return 0;
      if (readable > position) {
        this.#claimed = readable;
        return readable - position;
      }
      await new Promise<void>((resolve) => (this.#resume = resolve));
    }
  }

  /** Has the claim that waits look again. */
  wake(): void {
    this.#resume?.();
    this.#resume = undefined;
  }

  /** The bytes from `size` on are no more. */
  cut(size: number): void {
    if (this.#claimed > size) this.fail(new Error('the content was cut back while it was read'));
  }

  fail(error: Error): void {
    this.#failure ??= error;
    this.wake();
  }

  /** Ends a claim that waits. */
  leave(): void {
    this.#onLeave();
    this.fail(new Error('nobody reads any more'));
  }
}
