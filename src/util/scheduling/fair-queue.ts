/** Limits of a queue. Work has any unit. */
export interface FairQueueLimits {
  /** Maximum work in the queue. */
  readonly maxWork: number;
  /** Maximum work in a lane of the first level. */
  readonly maxLaneWork: number;
}

interface Lane<T> {
  work: number;
  /** Lanes in the order of service. */
  readonly lanes: Map<string, Lane<T>>;
  readonly waiting: { readonly item: T; readonly work: number }[];
}

/**
 * A queue of nested lanes. Lanes are served in turn, one item each, so a long lane delays only itself. When there is
 * too much work, the longest lane drops its newest item, so no lane can fill the queue and keep others out.
 */
export class FairQueue<T> {
  readonly #root: Lane<T> = emptyLane();
  readonly #limits: FairQueueLimits;

  constructor(limits: FairQueueLimits) {
    this.#limits = limits;
  }

  /**
   * Appends an item to the lane at the path. Returns the items dropped to make room, possibly including the new one.
   */
  push(path: readonly string[], item: T, work: number): readonly T[] {
    let lane = this.#root;
    lane.work += work;
    for (const name of path) {
      const found = lane.lanes.get(name) ?? emptyLane();
      lane.lanes.set(name, found);
      found.work += work;
      lane = found;
    }
    lane.waiting.push({ item, work });
    const dropped: T[] = [];
    const [first = ''] = path;
    while ((this.#root.lanes.get(first)?.work ?? 0) > this.#limits.maxLaneWork) dropped.push(this.#drop([first]));
    while (this.#root.work > this.#limits.maxWork) dropped.push(this.#drop([]));
    return dropped;
  }

  /** Removes and returns the item whose turn it is. */
  take(): T | undefined {
    const path: string[] = [];
    let lane = this.#root;
    for (;;) {
      const [next] = lane.lanes;
      if (next === undefined) break;
      const [name, found] = next;
      // Moves to the end of its round.
      lane.lanes.delete(name);
      lane.lanes.set(name, found);
      path.push(name);
      lane = found;
    }
    const taken = lane.waiting.shift();
    if (taken !== undefined) this.#subtract(path, taken.work);
    return taken?.item;
  }

  /** Removes the newest item of the longest lane below the path. */
  #drop(path: readonly string[]): T {
    const whole = [...path];
    let lane = path.reduce((at, name) => at.lanes.get(name) ?? at, this.#root);
    while (lane.lanes.size > 0) {
      // Among equally long lanes, the newest.
      const [name, longest] = [...lane.lanes].reduce((max, each) => (each[1].work >= max[1].work ? each : max));
      whole.push(name);
      lane = longest;
    }
    const dropped = lane.waiting.pop();
    if (dropped === undefined) throw new Error('an empty lane was kept');
    this.#subtract(whole, dropped.work);
    return dropped.item;
  }

  #subtract(path: readonly string[], work: number): void {
    let lane = this.#root;
    lane.work -= work;
    for (const name of path) {
      const next = lane.lanes.get(name);
      if (next === undefined) return;
      next.work -= work;
      if (next.work === 0) lane.lanes.delete(name);
      lane = next;
    }
  }
}

function emptyLane<T>(): Lane<T> {
  return { work: 0, lanes: new Map(), waiting: [] };
}
