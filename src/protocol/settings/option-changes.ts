/**
 * The effect of a reload on a change of an option. `live`: it applies the change. `restart`: it is refused, because only a
 * restart can apply the change. `next start`: it accepts the change, which has no effect until the next start.
 */
export type Reloading = 'live' | 'restart' | 'next start';

/** A change of an option between two configurations. */
export interface OptionChange {
  /** The path, with the name of a repository in place of its number: `repositories.hub.tagTtlSeconds`. */
  readonly option: string;
  readonly change: 'added' | 'removed' | 'changed';
  /** The values, only of numbers and booleans: a text may be a secret. */
  readonly from?: number | boolean;
  readonly to?: number | boolean;
}

/**
 * Returns what differs between two values of an option. Compares objects by their options, lists as a whole, and instances of
 * classes and functions by identity. @param option the path of the values, empty for all options.
 */
export function compareOptions(option: string, before: unknown, after: unknown): OptionChange[] {
  if (option === 'repositories') return compareOptions('repositories.', byName(before), byName(after));
  if (isPlain(before) && isPlain(after)) {
    const names = new Set([...Object.keys(before), ...Object.keys(after)]);
    return [...names].flatMap((name) => compareOptions(join(option, name), before[name], after[name]));
  }
  if (isSame(before, after)) return [];
  const change = before === undefined ? 'added' : after === undefined ? 'removed' : 'changed';
  return [{ option, change, ...(isShown(before) && { from: before }), ...(isShown(after) && { to: after }) }];
}

/** Returns what a reload does with a change: the entry of its option, or of the closest option around it. */
export function reloadingOf(
  { option }: OptionChange,
  table: Readonly<Record<string, Reloading>>,
): Reloading | undefined {
  for (let path = option; ; path = path.slice(0, path.lastIndexOf('.'))) {
    if (Object.hasOwn(table, path)) return table[path];
    if (!path.includes('.')) return undefined;
  }
}

function join(path: string, name: string): string {
  return path === '' || path.endsWith('.') ? path + name : `${path}.${name}`;
}

function byName(repositories: unknown): Record<string, unknown> {
  // Both are resolved options, whose repositories have names.
  const list = repositories as readonly { readonly name: string }[];
  return Object.fromEntries(list.map((repository) => [repository.name, repository]));
}

function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function isSame(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((item, i) => isSame(item, b[i]));
  if (!isPlain(a) || !isPlain(b)) return Object.is(a, b);
  return compareOptions('', a, b).length === 0;
}

function isShown(value: unknown): value is number | boolean {
  return typeof value === 'number' || typeof value === 'boolean';
}
