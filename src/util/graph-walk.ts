import { takeTurns } from './turns.js';

export interface GraphWalk<N> {
  readonly roots: readonly N[];
  /** Nodes with the same key are the same node: its children are asked for once. */
  readonly keyOf: (node: N) => string;
  readonly children: (node: N) => readonly N[] | Promise<readonly N[]>;
  /** The longest path in nodes, a root being the first. */
  readonly maxDepth: number;
  /** Counts what this walk does, perhaps together with others. */
  readonly budget: WalkBudget;
}

/** A graph is deeper or larger than a walk may go. */
export class WalkLimitError extends Error {
  override readonly name = 'WalkLimitError';
}

/** How many edges of user-made graphs may be followed; one budget can be shared by several walks. */
export class WalkBudget {
  readonly maxEdges: number;
  readonly #turn = takeTurns();
  #edges = 0;

  constructor(maxEdges: number) {
    this.maxEdges = maxEdges;
  }

  /** The edges followed so far. */
  get edges(): number {
    return this.#edges;
  }

  /** Counts an edge; when it is time to let others run, returns what to await first. @throws WalkLimitError */
  spend(): Promise<void> | undefined {
    if (++this.#edges > this.maxEdges) throw new WalkLimitError(`more than ${this.maxEdges} references`);
    return this.#turn();
  }
}

/**
 * Yields each node that the roots lead to once, depth first, and children before their parents. The work is linear in the
 * edges, however often nodes are shared; a cycle is not followed. The caller may stop early.
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
