import type { Change, Precondition } from '../../../ports/metadata/metadata.js';
import { imageOf, keyOf } from './image-locks.js';

/** The keys that a write uses, and whether other writes may use them at the same time. */
type Uses = Map<string, 'exclusive' | 'shared'>;

interface Holders {
  /** Ends with the last exclusive holder. */
  exclusive: Promise<void>;
  /** The shared holders that came after it. */
  readonly shared: Set<Promise<void>>;
  waiting: number;
}

/**
 * Orders the writes of this process: two writes that use the same keys run in the order of the calls, as the port requires.
 * Between processes, the locks of the database order them. A write that waits here does not hold a connection, so many pushes
 * of one image do not block pushes of other images.
 */
export class WriteOrder {
  readonly #holders = new Map<string, Holders>();

  /** Runs a write after all earlier ones that it must not overtake. */
  async run<T>(changes: readonly Change[], require: readonly Precondition[], work: () => Promise<T>): Promise<T> {
    const uses = usesOf(changes, require);
    let release = (): void => {};
    const own = new Promise<void>((resolve) => (release = resolve));
    // All keys at once, so that no two writes can wait for each other.
    const earlier = [...uses].flatMap(([key, mode]) => this.#enter(key, mode, own));
    try {
      await Promise.all(earlier);
      return await work();
    } finally {
      release();
      for (const [key] of uses) this.#leave(key, own);
    }
  }

  /** Resolves when no write runs or waits. */
  async idle(): Promise<void> {
    while (this.#holders.size > 0) {
      await Promise.all([...this.#holders.values()].flatMap(({ exclusive, shared }) => [exclusive, ...shared]));
      // Lets the finished ones leave.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #enter(key: string, mode: 'exclusive' | 'shared', own: Promise<void>): Promise<void>[] {
    let holders = this.#holders.get(key);
    if (holders === undefined) {
      holders = { exclusive: Promise.resolve(), shared: new Set(), waiting: 0 };
      this.#holders.set(key, holders);
    }
    holders.waiting += 1;
    if (mode === 'shared') {
      holders.shared.add(own);
      return [holders.exclusive];
    }
    const earlier = [holders.exclusive, ...holders.shared];
    holders.exclusive = own;
    holders.shared.clear();
    return earlier;
  }

  #leave(key: string, own: Promise<void>): void {
    const holders = this.#holders.get(key);
    if (holders === undefined) return;
    holders.shared.delete(own);
    holders.waiting -= 1;
    if (holders.waiting === 0) this.#holders.delete(key);
  }
}

function usesOf(changes: readonly Change[], require: readonly Precondition[]): Uses {
  const uses: Uses = new Map();
  const use = (key: string, mode: 'exclusive' | 'shared'): void => {
    if (uses.get(key) !== 'exclusive') uses.set(key, mode);
  };
  use('all', 'shared');
  for (const one of [...changes, ...require]) {
    const at = imageOf(one);
    if (at === undefined) continue;
    use(`repository ${at.repository}`, 'shared');
    use(`image ${keyOf(at)}`, 'exclusive');
  }
  for (const change of changes) useForChange(change, use);
  for (const precondition of require) useForPrecondition(precondition, use);
  return uses;
}

type Use = (key: string, mode: 'exclusive' | 'shared') => void;

function useForChange(change: Change, use: Use): void {
  const { type } = change;
  if (type === 'blob.link' || type === 'blob.unlink' || type === 'manifest.delete') {
    use(`digest ${change.digest}`, 'shared');
  } else if (type === 'manifest.put') {
    for (const digest of [change.manifest.digest, ...change.manifest.references]) use(`digest ${digest}`, 'shared');
  } else if (type === 'bytes.condemn' || type === 'bytes.forget') use(`digest ${change.digest}`, 'exclusive');
  else if (type === 'candidate.put' || type === 'candidate.delete') {
    use(`digest ${change.candidate.digest}`, 'exclusive');
  } else if (type === 'document.put' || type === 'document.delete') {
    use(`document ${change.kind} ${change.id}`, 'exclusive');
  } else if (type === 'session.put') {
    use(`repository ${change.session.at.repository}`, 'shared');
    use(`session ${change.session.id}`, 'exclusive');
  } else if (type === 'session.delete') use(`session ${change.id}`, 'exclusive');
  else if (type === 'sample.put') use(`sample ${change.step} ${change.sample.at}`, 'exclusive');
  else if (type === 'sample.delete') use(`sample ${change.step} ${change.when}`, 'exclusive');
  // Their digests are known only when they run, and they are rare.
  else if (/^(?:trash|repository)/.test(type)) use('all', 'exclusive');
}

function useForPrecondition(precondition: Precondition, use: Use): void {
  const { type } = precondition;
  if (type === 'repository') use(`repository ${precondition.name}`, 'shared');
  else if (type === 'bytes') use(`digest ${precondition.digest}`, 'shared');
  else if (type === 'referenced' || type === 'unreferenced') use(`digest ${precondition.digest}`, 'exclusive');
  else if (type === 'candidate') use(`digest ${precondition.candidate.digest}`, 'exclusive');
  else if (type === 'session') use(`session ${precondition.id}`, 'exclusive');
  else if (type === 'document') use(`document ${precondition.kind} ${precondition.id}`, 'exclusive');
  else if (type === 'usage') useOfLimit(precondition.names, use);
}

/** A limit depends on all images that its patterns may match. */
function useOfLimit(names: readonly string[], use: Use): void {
  for (const name of names) {
    const slash = name.indexOf('/');
    const repository = slash < 0 ? name : name.slice(0, slash);
    if (repository.includes('*')) use('all', 'exclusive');
    else use(`repository ${repository}`, 'exclusive');
  }
}
