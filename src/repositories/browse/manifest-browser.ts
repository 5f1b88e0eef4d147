import type {
  AttestationDetails,
  LayerDetails,
  ManifestDetails,
  NamedContent,
  PlatformDetails,
  ReferrerDetails,
} from '../../protocol/manifests/browsed-images.js';
import type { ImageKey, ManifestRecord } from '../../ports/metadata/images.js';
import type { Caller } from '../../ports/repository.js';
import { parseDigest, type Digest } from '../../protocol/digest.js';
import {
  kindOfManifest,
  viewConfig,
  viewManifest,
  type ConfigView,
  type ManifestView,
  type ViewedDescriptor,
} from '../../protocol/manifests/manifest-view.js';
import { parseTag, type Reference } from '../../protocol/names.js';
import { takeTurns } from '../../util/scheduling/turns.js';
import type { BrowseParts, Holder } from './browse-parts.js';
import type { ManifestReader } from './manifest-reader.js';

/** The maximum number of referrers that are listed. */
const maxReferrers = 100;
/** The maximum number of other images with a layer that are counted. */
const maxElsewhere = 100;
/** The number of layers for which they are counted. */
const maxCountedLayers = 200;
/** The maximum number of attestations whose predicates are read. */
const maxAttestationsRead = 50;
/** The suffixes of the tags that cosign uses for signatures, attestations and SBOMs. */
const cosignEnds = ['sig', 'att', 'sbom'] as const;
const predicateKey = 'in-toto.io/predicate-type';

type Details = Omit<ManifestDetails, 'platforms' | 'config' | 'layers' | 'attestations'>;

/** Describes manifests with the content that they name and the manifests that refer to them. */
export class ManifestBrowser {
  readonly #parts: BrowseParts;
  readonly #reader: ManifestReader;

  constructor(parts: BrowseParts, reader: ManifestReader) {
    this.#parts = parts;
    this.#reader = reader;
  }

  /** Returns `undefined` when the repository does not store the manifest. */
  async describe(caller: Caller, holder: Holder, reference: Reference): Promise<ManifestDetails | undefined> {
    const { metadata } = this.#parts;
    const { at } = holder;
    const digest = 'digest' in reference ? reference.digest : (await metadata.tag(at, reference.tag))?.digest;
    const record = digest && (await metadata.manifest(at, digest));
    const bytes = record && (await this.#reader.read(record.digest, record.size));
    const view = bytes && tryView(bytes);
    if (record === undefined || bytes === undefined || view === undefined) return undefined;
    const config = view.config && (await this.#readConfig(at, view.config));
    return {
      ...(await this.#describeItself(holder, record, view, bytes)),
      platforms: await this.#platforms(at, record, view, config?.details),
      attestations: await this.#attestations(at, view),
      ...(config === undefined ? {} : { config }),
      layers: await this.#layers(caller, at, view, config?.details),
    };
  }

  async #describeItself(
    { at, member }: Holder,
    record: ManifestRecord,
    view: ManifestView,
    bytes: Buffer,
  ): Promise<Details> {
    const { digest, mediaType, artifactType, size, pushedAt } = record;
    const kind = kindOfManifest(mediaType, artifactType);
    return {
      ...(member === undefined ? {} : { member }),
      digest,
      mediaType,
      kind,
      ...(kind === 'artifact' && artifactType !== undefined ? { artifactType } : {}),
      manifestBytes: size,
      bytes: await this.#reader.bytes(at, record, kind === 'index'),
      pushedAt,
      ...(await this.#parts.metadata.inventory.holders(at, digest)),
      referrers: await this.#referrers(at, digest),
      ...(view.subject === undefined ? {} : { subject: view.subject.digest }),
      annotations: view.annotations,
      raw: bytes.toString('utf8'),
    };
  }

  async #readConfig(
    at: ImageKey,
    descriptor: ViewedDescriptor,
  ): Promise<NamedContent & { readonly details?: ConfigView }> {
    const content = toContent(descriptor);
    const digest = tryParseDigest(descriptor.digest);
    const link = digest && (await this.#parts.metadata.link(at, digest));
    const isContainer = kindOfManifest('', descriptor.mediaType) === 'image';
    const bytes = link && isContainer ? await this.#reader.read(digest, link.size) : undefined;
    if (bytes === undefined) return content;
    try {
      return { ...content, details: viewConfig(bytes) };
    } catch {
      // Anything can be pushed as a config.
      return content;
    }
  }

  async #platforms(
    at: ImageKey,
    record: ManifestRecord,
    { children }: ManifestView,
    config: ConfigView | undefined,
  ): Promise<readonly PlatformDetails[]> {
    if (config?.platform !== undefined) {
      const bytes = record.size + record.contentBytes;
      return [{ platform: config.platform, digest: record.digest, bytes, isStored: true }];
    }
    const platforms: PlatformDetails[] = [];
    const turn = takeTurns();
    for (const { digest, platform = 'unknown', size } of children) {
      await turn();
      const parsed = tryParseDigest(digest);
      const child = parsed && (await this.#parts.metadata.manifest(at, parsed));
      const bytes = child === undefined ? size : child.size + child.contentBytes;
      platforms.push({ platform, digest, bytes, isStored: child !== undefined });
    }
    return platforms;
  }

  async #attestations(at: ImageKey, { attestations }: ManifestView): Promise<readonly AttestationDetails[]> {
    const found: AttestationDetails[] = [];
    for (const [i, descriptor] of attestations.entries()) {
      const about = descriptor.annotations['vnd.docker.reference.digest'];
      const digest = i < maxAttestationsRead ? tryParseDigest(descriptor.digest) : undefined;
      const record = digest && (await this.#parts.metadata.manifest(at, digest));
      const view = record && (await this.#reader.view(record));
      const types = view?.layers.flatMap(({ annotations }) => annotations[predicateKey] ?? []) ?? [];
      found.push({
        ...toContent(descriptor),
        ...(about === undefined ? {} : { about }),
        predicateTypes: [...new Set(types)],
      });
    }
    return found;
  }

  async #layers(
    caller: Caller,
    at: ImageKey,
    { layers }: ManifestView,
    config: ConfigView | undefined,
  ): Promise<readonly LayerDetails[]> {
    const isComplete = config?.createdBy.length === layers.length;
    const found: LayerDetails[] = [];
    for (const [i, layer] of layers.entries()) {
      const createdBy = isComplete ? config.createdBy[i] : undefined;
      found.push({
        ...toContent(layer),
        ...(createdBy === undefined || createdBy === '' ? {} : { createdBy }),
        elsewhere: i < maxCountedLayers ? await this.#countElsewhere(caller, at, layer.digest) : 0,
      });
    }
    return found;
  }

  /** Counts other images that have the blob, among those that the caller may pull. */
  async #countElsewhere(caller: Caller, at: ImageKey, digest: string): Promise<number> {
    const parsed = tryParseDigest(digest);
    if (parsed === undefined) return 0;
    const { items } = await this.#parts.metadata.imagesLinking(parsed, { limit: maxElsewhere + 1 });
    let count = 0;
    for (const { repository, image } of items) {
      if (repository === at.repository && image === at.image) continue;
      if ((await caller.reach(repository)).has(image)) count += 1;
    }
    return Math.min(count, maxElsewhere);
  }

  async #referrers(at: ImageKey, digest: Digest): Promise<readonly ReferrerDetails[]> {
    const { metadata } = this.#parts;
    const { items } = await metadata.referrers(at, digest, { limit: maxReferrers });
    const found: ReferrerDetails[] = items.map((record) => describeReferrer(record));
    // A sha512 digest is longer than a tag may be.
    for (const end of digest.startsWith('sha256:') ? cosignEnds : []) {
      const tag = await metadata.tag(at, parseTag(`${digest.replace(':', '-')}.${end}`));
      const record = tag && (await metadata.manifest(at, tag.digest));
      if (tag !== undefined && record !== undefined) found.push({ ...describeReferrer(record), tag: tag.name });
    }
    return found;
  }
}

/** Returns `undefined` for damaged bytes, which a pull reports. */
function tryView(bytes: Buffer): ManifestView | undefined {
  try {
    return viewManifest(bytes);
  } catch {
    return undefined;
  }
}

function describeReferrer({ digest, mediaType, size, contentBytes, artifactType, annotations }: ManifestRecord) {
  return {
    digest,
    mediaType,
    bytes: size + contentBytes,
    ...(artifactType === undefined ? {} : { artifactType }),
    annotations: annotations ?? {},
  };
}

function toContent({ digest, mediaType, size }: ViewedDescriptor): NamedContent {
  return { digest, mediaType, bytes: size };
}

/** Returns `undefined` for digests of algorithms that the registry does not know. */
function tryParseDigest(text: string): Digest | undefined {
  return text.startsWith('sha256:') || text.startsWith('sha512:') ? parseDigest(text) : undefined;
}
