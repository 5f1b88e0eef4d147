/** How far followers may read staged bytes. Wakes them when that changes, so no one polls. */
export class Growth {
  #size: number;
  #isVerified = false;
  #end: Error | undefined;
  readonly #followers = new Set<Follower>();

  constructor(size: number) {
    this.#size = size;
  }

  /** Returns whether the digest of the bytes was verified. */
  get isVerified(): boolean {
    return this.#isVerified;
  }

  /** Returns the reason why no more bytes will arrive. */
  get end(): Error | undefined {
    return this.#end;
  }

  /** Sets the number of bytes written. When it decreases, followers that have read past it fail. */
  landed(size: number): void {
    if (size < this.#size) {
      this.#isVerified = false;
      for (const follower of this.#followers) follower.cut(size);
    }
    this.#size = size;
    this.#wake();
  }

  /** Records that the bytes are complete and have the expected digest. */
  verified(): void {
    this.#isVerified = true;
    this.#wake();
  }

  /** Fails all current followers, because the bytes have the wrong digest. */
  refuted(error: Error): void {
    for (const follower of this.#followers) follower.fail(error);
  }

  /** Fails all current and later followers. */
  close(error: Error): void {
    this.#end ??= error;
    this.#wake();
  }

  /** Returns how far content of `total` bytes may be read now: the last byte only after verification. */
  readableTo(total: number): number {
    if (!this.#isVerified) return Math.min(this.#size, total - 1);
    if (this.#size !== total) throw new Error(`the content has ${this.#size} bytes instead of ${total}`);
    return total;
  }

  /**
   * Adds a follower that reads up to `end`, of `total` expected bytes. The caller must call its `leave` in any case.
   */
  join(total: number, end: number): Follower {
    const follower: Follower = new Follower(this, total, end, () => this.#followers.delete(follower));
    this.#followers.add(follower);
    return follower;
  }

  #wake(): void {
    for (const follower of this.#followers) follower.wake();
  }
}

/** A reader of bytes that are still arriving. */
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
   * Waits until bytes may be read at the position. Resolves to their number, or to 0 when all were read. One call at a
   * time.
   * @throws Error when they will not arrive, or when bytes that were claimed before have changed.
   */
  async claim(position: number, max: number): Promise<number> {
    for (;;) {
      const failure = this.#failure ?? this.#growth.end;
      if (failure !== undefined) throw failure;
      const readable = Math.min(this.#growth.readableTo(this.#total), this.#end, position + max);
      // Empty content has no last byte to withhold, so its end is withheld instead.
      if (position >= this.#end && (this.#end > 0 || this.#growth.isVerified)) return 0;
      if (readable > position) {
        this.#claimed = readable;
        return readable - position;
      }
      await new Promise<void>((resolve) => (this.#resume = resolve));
    }
  }

  /** Lets a waiting claim check again. */
  wake(): void {
    this.#resume?.();
    this.#resume = undefined;
  }

  /** Fails when bytes beyond `size`, which were cut off, had been claimed. */
  cut(size: number): void {
    if (this.#claimed > size) this.fail(new Error('the content was truncated while it was read'));
  }

  /** Makes current and later claims reject. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.wake();
  }

  /** Stops following and ends a waiting claim. */
  leave(): void {
    this.#onLeave();
    this.fail(new Error('the follower left'));
  }
}
