import type { ManifestContent } from '../../ports/metadata/images.js';
import {
  formatPlatform,
  matchesPlatform,
  parseIndex,
  type ArchiveDescriptor,
} from '../../protocol/manifests/archive.js';
import { parseKnownDigest, type Digest } from '../../protocol/digest.js';
import { isIndexType, manifestTypes, parseManifest } from '../../protocol/manifests/manifest.js';
import { isTag, type Reference, type Tag } from '../../protocol/names.js';
import { BlobCopier } from './sync-blobs.js';
import { foundOrAbsent, lacksContent, SyncProblemError } from './sync-problem.js';
import type { SyncRunParts } from './sync-run.js';

/** The maximum nesting of indexes that are followed. */
const maxDepth = 4;
/** Referrers of referrers that are followed: a signature of an SBOM of an image. */
const maxReferrerDepth = 3;
/** The maximum number of manifests that one tag may lead to. */
const maxManifests = 5000;
/** Names the image that an attestation in an index describes. */
const subjectAnnotation = 'vnd.docker.reference.digest';

/** The outcome for a tag. */
export type TagOutcome = 'copied' | 'unchanged' | 'absent';

/** Copies the manifests of one image, each after everything it names. */
export class ManifestCopier {
  readonly #parts: SyncRunParts;
  readonly #image: string;
  readonly #blobs: BlobCopier;

  constructor(parts: SyncRunParts, image: string) {
    this.#parts = parts;
    this.#image = image;
    this.#blobs = new BlobCopier(parts, image);
  }

  /** Copies a tag unless the target has it. @throws SyncProblemError, RegistryError. */
  async copyTag(tag: Tag, upstreamTags: ReadonlySet<string>): Promise<TagOutcome> {
    const { upstream, target, caller, dryRun, config } = this.#parts;
    const head = foundOrAbsent(await upstream.statManifest(this.#image, { tag }, []));
    if (head === undefined) return 'absent';
    const present = await target.statManifest(caller, this.#image, { tag });
    const isUnchanged = head.digest !== undefined && present?.digest === head.digest;
    if (dryRun) return isUnchanged ? 'unchanged' : 'copied';
    const top = await this.#read(head.digest === undefined ? { tag } : { digest: head.digest }, { tag });
    if (top === undefined) return 'absent';
    const copied = new Set<Digest>();
    await this.#copyTree(top, copied, 0);
    if (present?.digest !== top.digest) await this.#put(top, [tag]);
    if (config.referrers) await this.#copyReferrers(copied, upstreamTags);
    return present?.digest === top.digest ? 'unchanged' : 'copied';
  }

  /** Copies a manifest without tags. @param copied gets the digests of all manifests. */
  async #copyTree(manifest: ManifestContent, copied: Set<Digest>, depth: number): Promise<void> {
    const { target, caller, signal } = this.#parts;
    signal.throwIfAborted();
    const { digest, mediaType } = manifest;
    if (copied.has(digest)) return;
    copied.add(digest);
    if (copied.size > maxManifests) throw new SyncProblemError(`the tag leads to more than ${maxManifests} manifests`);
    if (isIndexType(mediaType)) await this.#copyChildren(manifest, copied, depth);
    else {
      const { references } = parse(manifest);
      await Promise.all(references.map((one) => this.#blobs.copy(one.digest, one.optional)));
    }
    // The top of the tree is written again with its tag, in one write if it is new.
    if (depth > 0 && !(await target.holdsManifest(caller, this.#image, digest))) await this.#put(manifest, []);
  }

  async #copyChildren(index: ManifestContent, copied: Set<Digest>, depth: number): Promise<void> {
    if (depth >= maxDepth) throw new SyncProblemError(`the index ${index.digest} is nested too deeply`);
    const { platforms } = this.#parts.config;
    const chosen = chooseChildren(index, platforms);
    // Nobody could pull the tag. A nested index may be for another platform.
    if (depth === 0 && chosen.length === 0) refuseOtherPlatforms(index, platforms);
    for (const { digest, mediaType } of chosen) {
      const known = parseKnownDigest(digest);
      if (known === undefined) continue;
      // BuildKit's caches are indexes of blobs.
      if (!manifestTypes.includes(mediaType)) {
        await this.#blobs.copy(known, this.#parts.writer.sparse !== false);
        continue;
      }
      const child = await this.#read({ digest: known });
      // The upstream's index may lack children, too.
      if (child !== undefined) await this.#copyTree(child, copied, depth + 1);
      else if (this.#parts.writer.sparse === false) throw lacksContent('manifest', known);
    }
  }

  /** Copies the content that refers to the manifests: referrers of OCI 1.1, and the tags of cosign. */
  async #copyReferrers(copied: Set<Digest>, upstreamTags: ReadonlySet<string>): Promise<void> {
    let subjects = [...copied];
    for (let depth = 0; depth < maxReferrerDepth && subjects.length > 0; depth++) {
      const before = new Set(copied);
      for (const subject of subjects) {
        const referrers = foundOrAbsent(await this.#parts.upstream.listReferrers(this.#image, subject, []));
        for (const { digest } of referrers ?? []) {
          const referrer = await this.#read({ digest });
          if (referrer !== undefined) await this.#copyTree(referrer, copied, 1);
        }
        for (const tag of cosignTags(subject)) if (upstreamTags.has(tag)) await this.#copyPlainTag(tag, copied);
      }
      subjects = [...copied].filter((digest) => !before.has(digest));
    }
  }

  async #copyPlainTag(tag: Tag, copied: Set<Digest>): Promise<void> {
    const { target, caller } = this.#parts;
    const manifest = await this.#read({ tag });
    if (manifest === undefined) return;
    await this.#copyTree(manifest, copied, 1);
    const present = await target.statManifest(caller, this.#image, { tag });
    if (present?.digest !== manifest.digest) await this.#put(manifest, [tag]);
  }

  async #put(manifest: ManifestContent, tags: readonly Tag[]): Promise<void> {
    const { writer, caller, tally } = this.#parts;
    await writer.putManifest(caller, this.#image, parse(manifest), tags);
    tally.add({ copiedManifests: 1 });
  }

  /**
   * Returns a manifest from the target, else from the upstream.
   * @param fallback how to ask an upstream that reports digests by which it has nothing.
   */
  async #read(reference: Reference, fallback?: Reference): Promise<ManifestContent | undefined> {
    const { upstream, target, caller } = this.#parts;
    const own = 'digest' in reference ? await target.getManifest(caller, this.#image, reference) : undefined;
    if (own !== undefined) return own;
    const found = foundOrAbsent(await upstream.getManifest(this.#image, reference, []));
    if (found !== undefined || fallback === undefined) return found;
    return foundOrAbsent(await upstream.getManifest(this.#image, fallback, []));
  }
}

/** Parses a manifest as clients do. @throws RegistryError MANIFEST_INVALID. */
function parse({ bytes, mediaType, digest }: ManifestContent): ReturnType<typeof parseManifest> {
  return parseManifest(bytes, mediaType, digest, { lenient: true });
}

/** Returns the children for the platforms, their attestations, and those without a platform. */
function chooseChildren(
  { bytes, digest }: ManifestContent,
  platforms: readonly string[] | undefined,
): readonly ArchiveDescriptor[] {
  const children = parseIndex(bytes, digest);
  if (platforms === undefined) return children;
  const own = children.filter(({ platform }) => {
    const name = platform && formatPlatform(platform);
    return !name || platforms.some((wanted) => matchesPlatform(name, wanted));
  });
  const chosen = new Set(own.map((child) => child.digest));
  return children.filter(
    (child) => chosen.has(child.digest) || chosen.has(child.annotations?.[subjectAnnotation] ?? ''),
  );
}

/** @throws SyncProblemError unless the index is empty. */
function refuseOtherPlatforms({ bytes, digest }: ManifestContent, wanted: readonly string[] = []): void {
  const found = parseIndex(bytes, digest).flatMap(({ platform }) => (platform ? [formatPlatform(platform)] : []));
  if (found.length === 0) return;
  const shown = [...new Set(found)].slice(0, 10).join(', ');
  throw new SyncProblemError(`the index has none of the platforms ${wanted.join(', ')}: it has ${shown}`);
}

function cosignTags(digest: Digest): readonly Tag[] {
  return ['sig', 'att', 'sbom'].map((kind) => `${digest.replace(':', '-')}.${kind}`).filter(isTag);
}
