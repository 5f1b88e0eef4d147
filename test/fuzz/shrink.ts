const maxTries = 300;

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Path = readonly string[];

/** Returns an input that is still bad and as small as possible: parts of its lists and texts are left out, large parts first. */
export async function shrink<Input>(found: Input, isBad: (input: Input) => Promise<boolean>): Promise<Input> {
  let smallest = found as Json;
  let tries = 0;
  const visit = async (path: Path): Promise<void> => {
    const { length } = sliceable(nodeAt(smallest, path));
    for (let size = Math.ceil(length / 2); size >= 1; size = Math.floor(size / 2)) {
      for (let at = 0; at < sliceable(nodeAt(smallest, path)).length && tries < maxTries;) {
        const candidate = without(smallest, path, at, size);
        tries++;
        if (await isBad(candidate as Input)) smallest = candidate;
        else at += size;
      }
    }
    const node = nodeAt(smallest, path);
    if (typeof node === 'object' && node !== null) for (const key of Object.keys(node)) await visit([...path, key]);
  };
  await visit([]);
  return smallest as Input;
}

function sliceable(node: Json | undefined): string | readonly Json[] {
  return typeof node === 'string' || Array.isArray(node) ? node : [];
}

function nodeAt(root: Json | undefined, [key, ...rest]: Path): Json | undefined {
  if (key === undefined) return root;
  return typeof root === 'object' && root !== null ? nodeAt((root as Record<string, Json>)[key], rest) : undefined;
}

/** A copy without `size` items or characters of the node at the path. */
function without(root: Json, path: Path, at: number, size: number): Json {
  const [key, ...rest] = path;
  if (key === undefined) {
    if (typeof root === 'string') return root.slice(0, at) + root.slice(at + size);
    return Array.isArray(root) ? root.toSpliced(at, size) : root;
  }
  const holder = root as Record<string, Json>;
  const child = without(holder[key] ?? null, rest, at, size);
  if (Array.isArray(root)) return root.with(Number(key), child);
  return { ...holder, [key]: child };
}
