/** Holds items in no particular order, such as tasks in progress. */
export class Bag<T> implements Iterable<T> {
  // Not a Set: V8 makes its table smaller each time the last item leaves, which takes longer than all other steps together.
  readonly #entries: { readonly item: T; index: number }[] = [];

  /** Adds an item, and returns the function that removes it. Call it once. */
  add(item: T): () => void {
    const entry = { item, index: this.#entries.length };
    this.#entries.push(entry);
    return () => {
      const last = this.#entries.pop();
      if (last === undefined || last === entry) return;
      this.#entries[entry.index] = last;
      last.index = entry.index;
    };
  }

  *[Symbol.iterator](): Iterator<T> {
    for (const { item } of this.#entries) yield item;
  }
}
