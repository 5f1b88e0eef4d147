import { describe, expect, it } from 'vitest';
import { FairQueue } from '../../../src/util/scheduling/fair-queue.js';

/** Pushes `lane/lane:name` items of work 1, and returns what was dropped. */
function fill(queue: FairQueue<string>, ...items: readonly string[]): readonly string[] {
  return items.flatMap((item) => queue.push((item.split(':')[0] ?? '').split('/'), item, 1));
}

function drain(queue: FairQueue<string>): string[] {
  const taken: string[] = [];
  for (let item = queue.take(); item !== undefined; item = queue.take()) taken.push(item);
  return taken;
}

describe('FairQueue', () => {
  it('serves lanes in turn, and each lane in order', () => {
    const queue = new FairQueue<string>({ maxWork: 100, maxLaneWork: 100 });
    fill(queue, 'a/x:1', 'a/x:2', 'a/x:3', 'a/y:1', 'b/x:1', 'b/x:2', 'c/x:1');
    expect(drain(queue)).toEqual(['a/x:1', 'b/x:1', 'c/x:1', 'a/y:1', 'b/x:2', 'a/x:2', 'a/x:3']);
  });

  it('drops the newest item of the longest lane inside a full lane', () => {
    const queue = new FairQueue<string>({ maxWork: 100, maxLaneWork: 3 });
    expect(fill(queue, 'a/x:1', 'a/x:2', 'a/x:3', 'a/x:4')).toEqual(['a/x:4']);
    expect(fill(queue, 'a/y:1', 'b/x:1')).toEqual(['a/x:3']);
    expect(drain(queue)).toEqual(['a/x:1', 'b/x:1', 'a/y:1', 'a/x:2']);
  });

  it('makes room for a short lane by dropping items of the longest', () => {
    const queue = new FairQueue<string>({ maxWork: 4, maxLaneWork: 4 });
    fill(queue, 'a/x:1', 'a/x:2', 'a/x:3', 'a/x:4');
    expect(fill(queue, 'b/x:1', 'c/x:1')).toEqual(['a/x:4', 'a/x:3']);
    expect(drain(queue)).toEqual(['a/x:1', 'b/x:1', 'c/x:1', 'a/x:2']);
  });

  it('forgets empty lanes and keeps working', () => {
    const queue = new FairQueue<string>({ maxWork: 1, maxLaneWork: 1 });
    for (let i = 0; i < 3; i++) {
      expect(fill(queue, 'a/x:1', 'a/x:2')).toEqual(['a/x:2']);
      expect(drain(queue)).toEqual(['a/x:1']);
    }
  });
});
