import { describe, expect, it } from 'vitest';
import { WalkBudget, walkGraph, WalkLimitError } from '../../../src/util/scheduling/graph-walk.js';

interface Walked {
  readonly order: readonly string[];
  /** The nodes whose children were requested. */
  readonly expanded: readonly string[];
  readonly edges: number;
}

async function walk(
  graph: Readonly<Record<string, readonly string[]>>,
  { roots = ['a'], maxDepth = 10, maxEdges = 10_000 } = {},
): Promise<Walked> {
  const expanded: string[] = [];
  const order: string[] = [];
  const budget = new WalkBudget(maxEdges);
  const children = async (node: string): Promise<readonly string[]> => {
    expanded.push(node);
    return graph[node] ?? [];
  };
  for await (const node of walkGraph({ roots, keyOf: (key) => key, children, maxDepth, budget })) order.push(node);
  return { order, expanded, edges: budget.edges };
}

/** Creates a graph in which each node refers to all nodes of the next level. */
function diamonds(levels: number, width: number): Record<string, string[]> {
  const graph: Record<string, string[]> = {};
  for (let level = 0; level < levels; level++) {
    const below = Array.from({ length: width }, (_, index) => `${level + 1}.${index}`);
    for (let index = 0; index < width; index++) graph[`${level}.${index}`] = below;
  }
  return graph;
}

describe('walkGraph', () => {
  it('yields each node once, children before their parents, in the order of the edges', async () => {
    const { order, expanded } = await walk({ a: ['b', 'c', 'b'], b: ['d'], c: ['d'] });
    expect(order).toEqual(['d', 'b', 'c', 'a']);
    expect(expanded).toEqual(['a', 'b', 'd', 'c']);
  });

  it('expands each node of 24 levels of diamonds once, regardless of the number of paths', async () => {
    const { expanded, edges } = await walk(diamonds(24, 3), { roots: ['0.0'], maxDepth: 25 });
    expect(expanded.length).toBe(1 + 24 * 3);
    // The number of paths is 3^24.
    expect(edges).toBe(1 + 3 + 23 * 9);
  });

  it('ends on a cycle', async () => {
    expect((await walk({ a: ['b'], b: ['a', 'b'] })).order).toEqual(['b', 'a']);
  });

  it('rejects a path longer than maxDepth, and walks a shorter one', async () => {
    const chain = { a: ['b'], b: ['c'] };
    expect((await walk(chain, { maxDepth: 3 })).order).toEqual(['c', 'b', 'a']);
    await expect(walk(chain, { maxDepth: 2 })).rejects.toThrow(new WalkLimitError('nested deeper than 2 levels'));
  });

  it('rejects more edges than the budget allows, counting repeated ones', async () => {
    const graph = { a: ['b', 'b', 'b'] };
    expect((await walk(graph, { maxEdges: 4 })).edges).toBe(4);
    await expect(walk(graph, { maxEdges: 3 })).rejects.toThrow(new WalkLimitError('more than 3 references'));
  });

  it('counts the edges of several walks in a shared budget', async () => {
    const budget = new WalkBudget(3);
    const once = async (): Promise<void> => {
      const walked = walkGraph({ roots: ['a', 'b'], keyOf: String, children: () => [], maxDepth: 1, budget });
      for await (const _ of walked);
    };
    await once();
    await expect(once()).rejects.toThrow(WalkLimitError);
  });

  it('lets other work run between its steps', async () => {
    let turns = 0;
    let walking = true;
    const turn = (): void => {
      turns++;
      if (walking) setImmediate(turn);
    };
    setImmediate(turn);
    await walk({ a: Array.from({ length: 5000 }, (_, index) => String(index)) });
    walking = false;
    expect(turns).toBeGreaterThan(15);
  });

  it('stops when the caller stops', async () => {
    const expanded: string[] = [];
    const children = (node: string): readonly string[] => {
      expanded.push(node);
      return node === 'a' ? ['b', 'c', 'd'] : [];
    };
    const budget = new WalkBudget(100);
    for await (const node of walkGraph({ roots: ['a'], keyOf: String, children, maxDepth: 5, budget })) {
      if (node === 'b') break;
    }
    expect(expanded).toEqual(['a', 'b']);
  });
});
