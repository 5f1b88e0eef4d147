// Settings are in camel case in code and in snake case in the management API.

/** Returns a copy in which `spell` has renamed the keys of all objects. */
export function mapKeys(value: unknown, spell: (key: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item: unknown) => mapKeys(item, spell));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [spell(key), mapKeys(item, spell)]));
}

/** Returns the path of a setting as the API spells it. */
export function toWirePath(path: string): string {
  return path === 'type' ? 'repo_type' : toSnakeCase(path);
}

/** Converts camel case to snake case. */
export function toSnakeCase(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Converts snake case to camel case. */
export function toCamelCase(key: string): string {
  return key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
