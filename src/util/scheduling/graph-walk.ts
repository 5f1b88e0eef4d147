import { takeTurns } from './turns.js';

/** A graph to walk, and the limits of the walk. */
export interface GraphWalk<N> {
  readonly roots: readonly N[];
  /** Nodes with the same key are the same node, whose children are requested once. */
  readonly keyOf: (node: N) => string;
  readonly children: (node: N) => readonly N[] | Promise<readonly N[]>;
  /** Maximum number of nodes in a path, including the root. */
  readonly maxDepth: number;
  /** Counts the edges of this walk; several walks can share it. */
  readonly budget: WalkBudget;
}

/** A graph is deeper or larger than a walk may follow. */
export class WalkLimitError extends Error {
  override readonly name = 'WalkLimitError';
}

/** Limits how many edges of user-supplied graphs are followed. Several walks can share one budget. */
export class WalkBudget {
  readonly maxEdges: number;
  readonly #turn = takeTurns();
  #edges = 0;

  constructor(maxEdges: number) {
    this.maxEdges = maxEdges;
  }

  /** Returns the number of edges followed so far. */
  get edges(): number {
    return this.#edges;
  }

  /**
   * Counts an edge. From time to time returns a promise to await, which lets other requests run.
   * @throws WalkLimitError when the budget is spent
   */
  spend(): Promise<void> | undefined {
    if (++this.#edges > this.maxEdges) throw new WalkLimitError(`more than ${this.maxEdges} references`);
    return this.#turn();
  }
}

/**
 * Yields each node reachable from the roots once, depth first, children before parents. The work is linear in the
 * edges, even when nodes are shared, and the walk does not follow cycles. The caller may stop early.
 * @throws WalkLimitError when a path is longer than `maxDepth` or the budget is spent.
 */
export async function* walkGraph<N>(walk: GraphWalk<N>): AsyncGenerator<N> {
  const { roots, keyOf, children, maxDepth, budget } = walk;
  const seen = new Set<string>();
  const path: { readonly node: N | undefined; readonly below: Iterator<N> }[] = [
    { node: undefined, below: roots.values() },
  ];
  for (let last = path.at(-1); last !== undefined; last = path.at(-1)) {
    const next = last.below.next();
    if (next.done === true) {
      path.pop();
      if (last.node !== undefined) yield last.node;
      continue;
    }
    const turn = budget.spend();
    if (turn !== undefined) await turn;
    const key = keyOf(next.value);
    if (seen.has(key)) continue;
    seen.add(key);
    if (path.length > maxDepth) throw new WalkLimitError(`nested deeper than ${maxDepth} levels`);
    const below = children(next.value);
    path.push({ node: next.value, below: (below instanceof Promise ? await below : below).values() });
  }
}
