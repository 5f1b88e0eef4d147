/**
 * Sizes of groups of images, for quotas: sums of `LevelUsage` over the local repositories, and the check inside a
 * write.
 */
import type { ImageSizes } from '../../../ports/metadata/quotas.js';
import type { Precondition } from '../../../ports/metadata/metadata.js';
import { compilePattern, type Pattern } from '../../../protocol/patterns.js';
import { ConflictError } from '../../../util/conflict-error.js';
import type { LevelIndex } from '../level-index.js';
import { repositoryKey, type RepositoryId } from '../level-keys.js';
import type { LevelView } from '../level-view.js';
import type { LevelWriter } from '../writes/level-writer.js';
import { allImages, type ImageFilter } from './level-usage.js';

type UsagePrecondition = Extract<Precondition, { type: 'usage' }>;

/** Lists of patterns that are kept compiled. */
const maxCompiled = 1000;

/** The sizes of groups of images in one index. */
export class LevelSizes implements ImageSizes {
  readonly #index: LevelIndex;
  readonly #writer: LevelWriter;
  readonly #compiled = new Map<string, readonly Pattern[]>();

  constructor(index: LevelIndex, writer: LevelWriter) {
    this.#index = index;
    this.#writer = writer;
  }

  /**
   * The first call for some patterns reads the records of all images in the repositories that they may match, which
   * blocks writes: about 20 ms for 10,000 images.
   */
  async total(names: readonly string[]): Promise<number> {
    const known = this.#sum(names);
    if (known !== undefined) return known;
    let total = 0;
    await this.#writer.run(async () => {
      total = await this.#load(names);
    }, false);
    return total;
  }

  /** Returns the total size of the images of any repository. The first call is slow in the same way. */
  async ofRepository(id: RepositoryId): Promise<number> {
    const { residents, usage } = this.#index;
    let total = usage.get(id);
    if (total !== undefined) return total;
    await this.#writer.run(async () => {
      if (residents.nameOf(id) !== undefined) total = await usage.load(this.#index, id);
    }, false);
    return usage.get(id) ?? total ?? 0;
  }

  /**
   * Checks preconditions against the changes of the present write and of the accepted ones before it.
   * @throws ConflictError with the figures of the first that does not hold.
   */
  async require(view: LevelView, preconditions: readonly Precondition[]): Promise<void> {
    for (const precondition of preconditions) {
      if (precondition.type === 'usage') await this.#requireOne(view, precondition);
    }
  }

  async #requireOne(view: LevelView, { names, maxBytes }: UsagePrecondition): Promise<void> {
    const neededBytes = this.#growth(view.growth('draft'), view, names);
    // A write that adds nothing is allowed, even above the limit.
    if (neededBytes <= 0) return;
    const written = this.#sum(names) ?? (await this.#load(names));
    const usedBytes = written + this.#growth(view.growth('kept'), view, names);
    if (usedBytes + neededBytes <= maxBytes) return;
    throw new ConflictError(`the images that match ${names.join(', ')} may have at most ${maxBytes} bytes`, {
      names,
      maxBytes,
      usedBytes,
      neededBytes,
    });
  }

  /** Sums how writes change the size of the matching images. */
  #growth(growth: ReadonlyMap<string, number>, view: LevelView, names: readonly string[]): number {
    let bytes = 0;
    for (const [place, change] of growth) {
      const split = place.indexOf('\0');
      const name = this.#nameOf(view, place.slice(0, split) as RepositoryId);
      if (name !== undefined && this.#filterOf(names, name)?.matches(place.slice(split + 1)) === true) bytes += change;
    }
    return bytes;
  }

  /** Returns the name of a local repository, including one that the write creates. */
  #nameOf(view: LevelView, id: RepositoryId): string | undefined {
    const name = this.#index.residents.nameOf(id) ?? view.createdRepository(id);
    const stored = name === undefined ? undefined : view.get(repositoryKey(name));
    return stored?.id === id && stored.record.config.type === 'local' ? name : undefined;
  }

  /** Returns the sum as last written, or `undefined` while a part of it is not loaded. */
  #sum(names: readonly string[]): number | undefined {
    let total = 0;
    for (const { id, filter } of this.#parts(names)) {
      const part = this.#index.usage.get(id, filter);
      if (part === undefined) return undefined;
      total += part;
    }
    return total;
  }

  /** Runs inside the writer. */
  async #load(names: readonly string[]): Promise<number> {
    let total = 0;
    for (const { id, filter } of this.#parts(names)) total += await this.#index.usage.load(this.#index, id, filter);
    return total;
  }

  #parts(names: readonly string[]): { readonly id: RepositoryId; readonly filter: ImageFilter }[] {
    const { residents } = this.#index;
    return residents.repositories().flatMap(({ config: { name, type } }) => {
      const filter = type === 'local' ? this.#filterOf(names, name) : undefined;
      const id = residents.idOf(name);
      return filter === undefined || id === undefined ? [] : [{ id, filter }];
    });
  }

  /** Returns the filter for the images of a repository; `undefined` if none of its images can match. */
  #filterOf(names: readonly string[], repository: string): ImageFilter | undefined {
    const prefix = `${repository}/`;
    const key = names.join('\0');
    const patterns = this.#compile(key, names).filter(
      ({ literal }) => prefix.startsWith(literal) || literal.startsWith(prefix),
    );
    if (patterns.length === 0) return undefined;
    if (patterns.some(({ literal, isPrefix }) => isPrefix && prefix.startsWith(literal))) return allImages;
    return { key, matches: (image) => patterns.some((pattern) => pattern.matches(prefix + image)) };
  }

  #compile(key: string, names: readonly string[]): readonly Pattern[] {
    const kept = this.#compiled.get(key);
    if (kept !== undefined) return kept;
    const compiled = names.map(compilePattern);
    if (this.#compiled.size >= maxCompiled) this.#compiled.clear();
    this.#compiled.set(key, compiled);
    return compiled;
  }
}
