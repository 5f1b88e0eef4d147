/** Images as people see them: found by `ImageBrowser` and shown by the API. */
import type { Digest } from '../digest.js';
import type { ConfigView } from './manifest-view.js';
import type { Tag } from '../names.js';

/** The pulls of something. */
export interface PullFigures {
  /** Absent when it was never pulled. */
  readonly pulledAt?: number;
  readonly pulls: number;
  /** Pulls of the last 30 days. */
  readonly recentPulls: number;
}

/** An image with its figures. */
export interface ImageRow extends PullFigures {
  readonly repository: string;
  readonly image: string;
  /** In a virtual repository: the member that has it. */
  readonly member?: string;
  readonly manifests: number;
  readonly tags: number;
  readonly bytes: number;
  /** The part of the bytes that no other image has. Only on request. */
  readonly uniqueBytes?: number;
  readonly updatedAt: number;
  readonly pushedAt: number;
}

/** Who made a change. */
interface ShownActor {
  readonly principal: string;
  readonly via: string;
}

/** The kind of a manifest for people. */
type ManifestKind = 'image' | 'index' | 'artifact';

/** A tag, or a manifest without a tag. */
export interface TagRow extends PullFigures {
  readonly name?: Tag;
  readonly member?: string;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly kind: ManifestKind;
  readonly artifactType?: string;
  /** Of an index. */
  readonly platforms?: readonly string[];
  readonly manifestBytes: number;
  /** The manifest and its content; of an index, with the stored manifests that it lists. */
  readonly bytes: number;
  /** When the tag last moved or was pushed again. */
  readonly updatedAt?: number;
  /** When the manifest was last pushed or fetched. */
  readonly pushedAt: number;
  /** Who moved the tag to this manifest. */
  readonly pushedBy?: ShownActor;
  /** The pattern that makes the tag immutable. */
  readonly immutable?: string;
  readonly checkedAt?: number;
  readonly freshUntil?: number;
  /** The pins of a cache that protect it from eviction. */
  readonly pinnedBy?: readonly string[];
}

/** The figures of an image. */
export interface ImageSummary extends PullFigures {
  readonly members: readonly string[];
  readonly manifests: number;
  readonly tags: number;
  readonly untagged: number;
  readonly bytes: number;
  readonly uniqueBytes: number;
  readonly updatedAt: number;
  readonly pushedAt: number;
}

/** Content that a manifest names, and how it is stored here. */
export interface NamedContent {
  readonly digest: string;
  readonly mediaType: string;
  readonly bytes: number;
}

/** A layer of an image. */
export interface LayerDetails extends NamedContent {
  /** The command that created it, from the config. */
  readonly createdBy?: string;
  /** The number of other images with this layer that the caller may pull, at most 100. */
  readonly elsewhere: number;
}

/** A manifest for one platform. */
export interface PlatformDetails {
  readonly platform: string;
  readonly digest: string;
  /** With its content, if it is stored; otherwise of the manifest alone. */
  readonly bytes: number;
  readonly isStored: boolean;
}

/** An attestation of an index. */
export interface AttestationDetails extends NamedContent {
  /** The manifest that it is about. */
  readonly about?: string;
  readonly predicateTypes: readonly string[];
}

/** Something that refers to a manifest: by its subject, or by a tag of the form that cosign uses. */
export interface ReferrerDetails extends NamedContent {
  readonly artifactType?: string;
  readonly tag?: Tag;
  readonly annotations: Readonly<Record<string, string>>;
}

/** A manifest in all detail. */
export interface ManifestDetails {
  readonly member?: string;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly kind: ManifestKind;
  readonly artifactType?: string;
  readonly manifestBytes: number;
  readonly bytes: number;
  readonly pushedAt: number;
  readonly tags: readonly Tag[];
  /** The indexes that list it. */
  readonly namedBy: readonly Digest[];
  readonly platforms: readonly PlatformDetails[];
  readonly attestations: readonly AttestationDetails[];
  readonly config?: NamedContent & { readonly details?: ConfigView };
  readonly layers: readonly LayerDetails[];
  readonly referrers: readonly ReferrerDetails[];
  readonly subject?: string;
  readonly annotations: Readonly<Record<string, string>>;
  /** The bytes of the manifest as text. */
  readonly raw: string;
}

/** A move of a tag. */
export interface ShownMove {
  readonly move: number;
  readonly at: number;
  readonly by: ShownActor;
  readonly digest?: Digest;
  readonly was?: Digest;
  /** Whether the image still has the manifest that the tag was moved to. */
  readonly present: boolean;
}
