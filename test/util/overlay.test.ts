import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { overlay } from '../../src/util/overlay.js';

interface Counter {
  readonly count: number;
  next(): number;
  skip(): number;
}

class Base {
  #count = 0;
  get count(): number {
    return this.#count;
  }
  next(): number {
    return ++this.#count;
  }
}

class Skipping extends Base implements Counter {
  skip(): number {
    return this.next() + this.next();
  }
}

describe('overlay', () => {
  it('has the methods and getters of a class and its base with their own `this`, and the replaced methods', () => {
    const counter = new Skipping();
    const overlaid = overlay<Counter>(counter, { next: () => counter.next() * 100 });
    expect([overlaid.next(), overlaid.skip(), overlaid.count, counter.count]).toEqual([100, 5, 3, 3]);
  });

  it('works for objects without a prototype, and for those of another realm', () => {
    const bare = Object.assign(Object.create(null) as object, { next: () => 1, skip: () => 2, count: 3 });
    const foreign = runInNewContext('({ next: () => 1, skip: () => 2, count: 3 })') as Counter;
    for (const target of [bare as Counter, foreign]) {
      const overlaid = overlay(target, { next: () => 10 });
      expect([overlaid.next(), overlaid.skip(), overlaid.count]).toEqual([10, 2, 3]);
    }
  });
});
