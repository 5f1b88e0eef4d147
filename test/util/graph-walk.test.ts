import { describe, expect, it } from 'vitest';
import { WalkBudget, walkGraph, WalkLimitError } from '../../src/util/graph-walk.js';

interface Walked {
  readonly order: readonly string[];
  /** Whose children were asked for. */
  readonly asked: readonly string[];
  readonly edges: number;
}

async function walk(
  graph: Readonly<Record<string, readonly string[]>>,
  { roots = ['a'], maxDepth = 10, maxEdges = 10_000 } = {},
): Promise<Walked> {
  const asked: string[] = [];
  const order: string[] = [];
  const budget = new WalkBudget(maxEdges);
  const children = async (node: string): Promise<readonly string[]> => {
    asked.push(node);
    return graph[node] ?? [];
  };
  for await (const node of walkGraph({ roots, keyOf: (key) => key, children, maxDepth, budget })) order.push(node);
  return { order, asked, edges: budget.edges };
}

/** Each level names the next one so many times, by different nodes. */
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
    const { order, asked } = await walk({ a: ['b', 'c', 'b'], b: ['d'], c: ['d'] });
    expect(order).toEqual(['d', 'b', 'c', 'a']);
    expect(asked).toEqual(['a', 'b', 'd', 'c']);
  });

  it('asks each node of 24 levels of diamonds once, whatever the number of paths', async () => {
    const { asked, edges } = await walk(diamonds(24, 3), { roots: ['0.0'], maxDepth: 25 });
    expect(asked.length).toBe(1 + 24 * 3);
    // Of 3^24 paths.
    expect(edges).toBe(1 + 3 + 23 * 9);
  });

  it('does not follow a cycle', async () => {
    expect((await walk({ a: ['b'], b: ['a', 'b'] })).order).toEqual(['b', 'a']);
  });

  it('refuses a path that is longer than maxDepth, and walks one that is not', async () => {
    const chain = { a: ['b'], b: ['c'] };
    expect((await walk(chain, { maxDepth: 3 })).order).toEqual(['c', 'b', 'a']);
    await expect(walk(chain, { maxDepth: 2 })).rejects.toThrow(new WalkLimitError('nested deeper than 2 levels'));
  });

  it('refuses more edges than the budget has, repeated ones included', async () => {
    const graph = { a: ['b', 'b', 'b'] };
    expect((await walk(graph, { maxEdges: 4 })).edges).toBe(4);
    await expect(walk(graph, { maxEdges: 3 })).rejects.toThrow(new WalkLimitError('more than 3 references'));
  });

  it('shares a budget between walks', async () => {
    const budget = new WalkBudget(3);
    const once = async (): Promise<void> => {
      const walked = walkGraph({ roots: ['a', 'b'], keyOf: String, children: () => [], maxDepth: 1, budget });
      for await (const _ of walked);
    };
    await once();
    await expect(once()).rejects.toThrow(WalkLimitError);
  });

  it('lets others run between its steps', async () => {
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

  it('stops when its caller does', async () => {
    const asked: string[] = [];
    const children = (node: string): readonly string[] => {
      asked.push(node);
      return node === 'a' ? ['b', 'c', 'd'] : [];
    };
    const budget = new WalkBudget(100);
    for await (const node of walkGraph({ roots: ['a'], keyOf: String, children, maxDepth: 5, budget })) {
      if (node === 'b') break;
    }
    expect(asked).toEqual(['a', 'b']);
  });
});
