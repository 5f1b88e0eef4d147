/**
 * The hooks of the host application: their arguments and results, and the gate through which the registry calls them.
 */
import type { Digest } from '../protocol/digest.js';
import type { ManifestView } from '../protocol/manifests/manifest-view.js';
import type { ParsedManifest } from '../protocol/manifests/manifest.js';
import type { Reference, Tag } from '../protocol/names.js';
import type { Caller } from './access/caller.js';
import type { ImageKey, ManifestContent, Referrer } from './metadata/images.js';
import type { Actor } from './metadata/journal.js';
import type { PageRequest } from './pages.js';
import type { Repository, TagEntry } from './repository.js';

/** A manifest as hooks see it: its parts, and the bytes as they were pushed. */
export interface HookManifest extends ManifestView {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
}

/**
 * Reads one image for a hook. In a cache, it asks the upstream as a pull would. Methods throw when the image cannot be
 * read, for example because the upstream fails.
 */
export interface HookImageReader {
  /** Returns a page of tags in byte order; none if the image is unknown. @param page 1000 tags by default. */
  tags(page?: Partial<PageRequest>): Promise<readonly TagEntry[]>;
  /** @param reference a tag or a digest. @throws RegistryError TAG_INVALID or DIGEST_INVALID. */
  manifest(reference: string): Promise<HookManifest | undefined>;
  /** Returns the first 1000 manifests whose subject is the digest, such as signatures. */
  referrers(digest: string): Promise<readonly Referrer[]>;
  /** Returns the stored indexes of the image that list the manifest. */
  indexesOf(digest: string): Promise<readonly Digest[]>;
  /** Returns a blob of at most 4 MiB, such as a config. @throws RegistryError SIZE_INVALID for a larger one. */
  blob(digest: string): Promise<Buffer | undefined>;
}

/** The arguments of every hook. */
export interface HookRequest {
  /** The image that has the content: for a virtual repository, the image of the member. */
  readonly image: ImageKey;
  /** The image that the request names. Differs from `image` in a virtual repository. */
  readonly requested: ImageKey;
  /**
   * Who makes the request. `via` is `job` for a sync, an import of a folder or retention, and `principal` is the user
   * who started it.
   */
  readonly actor: Actor;
  /** Reads `image`. */
  readonly read: HookImageReader;
  /** Aborted when the time limit passes. */
  readonly signal: AbortSignal;
}

/** A manifest is about to be served, to a HEAD, a GET or an export. */
export interface HookedPull extends HookRequest {
  readonly reference: Reference;
  readonly manifest: HookManifest;
}

/**
 * A manifest is about to be stored in a local repository, or restored from its trash. Its blobs are there already,
 * unless the push is incomplete.
 */
export interface HookedManifestPut extends HookRequest {
  readonly manifest: HookManifest;
  /** The tags that the push, the restore or the import sets. */
  readonly tags: readonly Tag[];
}

/** A tag is about to be created or moved: by a push, a move or a restore from the trash. */
export interface HookedTagMove extends HookRequest {
  readonly tag: Tag;
  readonly manifest: HookManifest;
  /** The digest that the tag names now. Absent: the tag does not exist. */
  readonly was?: Digest;
}

/**
 * A tag, a manifest or a blob of a local repository is about to be deleted. Before a manifest, the hook is called for each
 * of its tags.
 */
export type HookedDelete = HookRequest &
  (
    | {
        readonly kind: 'manifest';
        readonly digest: Digest;
        /** Absent if its bytes are missing or damaged. */
        readonly manifest?: HookManifest;
      }
    | { readonly kind: 'tag'; readonly tag: Tag; readonly digest: Digest; readonly manifest?: HookManifest }
    | { readonly kind: 'blob'; readonly digest: Digest }
  );

/** Refuses the request: the client gets 403 DENIED with the reason, of 1 to 1000 characters. */
export interface HookRefusal {
  readonly refuse: string;
}

/** The decision of a hook. If it returns nothing, the request continues. */
export type HookDecision = HookRefusal | undefined | void;

/** Serves another manifest of the image in place of the one that the tag names. Only for pulls by tag. */
export interface HookSubstitute {
  readonly serve: string;
}

/** The decision about a pull. */
export type HookPullDecision = HookSubstitute | HookDecision;

type Hook<Asked, Decision> = (asked: Asked) => Decision | Promise<Decision>;

/**
 * Functions of the host application that decide about pulls and changes. Called after access control permitted the request.
 * A hook that throws, returns something else or exceeds the time limit fails closed: the client gets 503 UNAVAILABLE, and the
 * reason is logged.
 */
export interface HookOptions {
  readonly beforePull?: Hook<HookedPull, HookPullDecision> | undefined;
  readonly beforeManifestPut?: Hook<HookedManifestPut, HookDecision> | undefined;
  readonly beforeTagMove?: Hook<HookedTagMove, HookDecision> | undefined;
  readonly beforeDelete?: Hook<HookedDelete, HookDecision> | undefined;
  /**
   * How long a hook may take.
   * @default 10
   */
  readonly timeoutSeconds?: number | undefined;
}

/** Who asks for a change, and for which image. */
export interface GatedChange {
  readonly at: ImageKey;
  readonly actor: Actor;
  /** Absent for background work, which may read everything. */
  readonly caller?: Caller | undefined;
}

/** A manifest with its bytes. */
export type StoredManifest = Pick<ParsedManifest, 'digest' | 'mediaType' | 'bytes'>;

/** The content that a request is about to delete. */
export type Doomed =
  | { readonly kind: 'manifest'; readonly digest: Digest; readonly tags: readonly Tag[] }
  | { readonly kind: 'tag'; readonly tag: Tag; readonly digest: Digest }
  | { readonly kind: 'blob'; readonly digest: Digest };

/**
 * Calls the hooks. A method is absent if its hook is not set, so that nothing waits for it. All throw DENIED when the
 * hook refuses and UNAVAILABLE when it fails.
 */
export interface HookGate {
  /** Returns the manifest to serve; `undefined` if the image does not have the reference. */
  readonly pull?:
    ((caller: Caller, target: GatedTarget, reference: Reference) => Promise<ManifestContent | undefined>) | undefined;
  readonly manifestPut?:
    ((change: GatedChange, manifest: StoredManifest, tags: readonly Tag[]) => Promise<void>) | undefined;
  readonly tagMove?: ((change: GatedChange, move: GatedTagMove) => Promise<void>) | undefined;
  readonly delete?: ((change: GatedChange, doomed: Doomed) => Promise<void>) | undefined;
}

/** The image that a pull names. */
export interface GatedTarget {
  readonly at: ImageKey;
  readonly repository: Repository;
  /** Whether to count the pull: a HEAD only records that the manifest is in use. */
  readonly counts: boolean;
}

/** A move of a tag. */
export interface GatedTagMove {
  readonly tag: Tag;
  readonly to: Pick<ManifestContent, 'digest' | 'mediaType'> & { readonly bytes?: Buffer | undefined };
  readonly was: Digest | undefined;
}
