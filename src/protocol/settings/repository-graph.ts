import type { RepositoryConfig, VirtualRepositoryConfig } from './repository-config.js';
import type { Problem } from './option-schema.js';

/** The number of cycles that are reported. */
const maxCycles = 10;

/**
 * Checks how repositories refer to each other. Reports unknown members, push targets that are not local members, and cycles.
 * Paths begin with `pathOf(index)`. Takes time linear in the number of members.
 */
export function checkTogether(configs: readonly RepositoryConfig[], pathOf: (index: number) => string): Problem[] {
  const byName = new Map(configs.map((config) => [config.name, config]));
  const cyclic = findCyclic(configs);
  const problems: Problem[] = [];
  let cycles = 0;
  configs.forEach((config, index) => {
    if (config.type !== 'virtual') return;
    const report = (field: string, problem: string): void =>
      void problems.push({ path: pathOf(index) + field, problem });
    const names = new Set<string>();
    config.members.forEach(({ name }, i) => {
      if (!byName.has(name)) report(`members[${i}]`, `unknown repository "${name}"`);
      else if (names.has(name)) report(`members[${i}]`, `"${name}" is a member already`);
      names.add(name);
    });
    const cycle = cyclic.has(config.name) && cycles < maxCycles ? findCycle(config, cyclic) : undefined;
    if (cycle !== undefined) {
      cycles++;
      report('members', `must not form a cycle: ${cycle.join(' → ')}`);
    }
    const { pushTo } = config;
    if (pushTo === undefined) return;
    if (!names.has(pushTo)) report('pushTo', `"${pushTo}" is not a member`);
    else if (byName.get(pushTo)?.type !== 'local') report('pushTo', `"${pushTo}" is not a local repository`);
  });
  return problems;
}

/** Returns the virtual repositories that are on a cycle or lead to one: those that are left after all others are removed. */
function findCyclic(configs: readonly RepositoryConfig[]): ReadonlyMap<string, VirtualRepositoryConfig> {
  const left = new Map<string, VirtualRepositoryConfig>();
  for (const config of configs) if (config.type === 'virtual') left.set(config.name, config);
  const users = new Map<string, string[]>();
  const waiting = new Map<string, number>();
  for (const { name, members } of left.values()) {
    const virtual = members.filter((member) => left.has(member.name));
    waiting.set(name, virtual.length);
    for (const member of virtual) {
      const known = users.get(member.name);
      if (known === undefined) users.set(member.name, [name]);
      else known.push(name);
    }
  }
  const done = [...left.keys()].filter((name) => waiting.get(name) === 0);
  // The loop appends to the list that it iterates over.
  for (const name of done) {
    left.delete(name);
    for (const user of users.get(name) ?? []) {
      const before = waiting.get(user) ?? 0;
      waiting.set(user, before - 1);
      if (before === 1) done.push(user);
    }
  }
  return left;
}

/** Returns the shortest path from a repository back to itself, including both ends. Visits each repository once. */
function findCycle(
  { name: start, members }: VirtualRepositoryConfig,
  cyclic: ReadonlyMap<string, VirtualRepositoryConfig>,
): readonly string[] | undefined {
  const cameFrom = new Map(members.map(({ name }) => [name, start]));
  // The loop adds to the map that it iterates over.
  for (const [name] of cameFrom) {
    if (name === start) break;
    for (const next of cyclic.get(name)?.members ?? []) if (!cameFrom.has(next.name)) cameFrom.set(next.name, name);
  }
  const before = cameFrom.get(start);
  if (before === undefined) return undefined;
  const trail = [start];
  for (let name = before; name !== start; name = cameFrom.get(name) ?? start) trail.unshift(name);
  return [start, ...trail];
}
