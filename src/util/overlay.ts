/**
 * Returns an object with the members of another one, some of them replaced. Not a Proxy, which would slow down each read of a
 * store. Methods keep their own `this`, because drivers have private fields.
 */
export function overlay<T extends object>(target: T, replaced: Partial<T>): T {
  const members = new Map<PropertyKey, PropertyDescriptor>();
  let level: object | null = target;
  // Objects of another realm have another Object.prototype.
  while (level !== null && level !== Object.prototype) {
    for (const key of Reflect.ownKeys(level)) if (!members.has(key)) members.set(key, memberOf(target, key));
    level = Object.getPrototypeOf(level) as object | null;
  }
  // The members are those of the target.
  return Object.assign(Object.defineProperties({}, Object.fromEntries(members)), replaced) as T;
}

function memberOf(target: object, key: PropertyKey): PropertyDescriptor {
  const value: unknown = Reflect.get(target, key);
  if (typeof value !== 'function') return { get: () => Reflect.get(target, key) as unknown, configurable: true };
  return { value: value.bind(target) as unknown, writable: true, configurable: true };
}
