// Written by `npm run docs` from the schemas of the options. Change the schemas, not this file.
import type { UpstreamCredentials } from '../../protocol/settings/upstream-credentials.js';

export type RepositoryOptions = LocalRepositoryOptions | RemoteRepositoryOptions | VirtualRepositoryOptions;

/** Several repositories under one name. */
export interface VirtualRepositoryOptions {
  /** The first component of the names of its images: `docker-internal` in `host/docker-internal/team/app`. */
  readonly name: string;
  /**
   * Free text.
   * @default ''
   */
  readonly description?: string;
  /** `'local'`, `'remote'` or `'virtual'`. */
  readonly type: 'virtual';
  /**
   * Names of repositories, or `{ name, include, exclude }` with patterns of the images that a member serves and does
   * not serve.
   */
  readonly members: readonly (string | { readonly name: string; readonly include?: readonly string[]; readonly exclude?: readonly string[] })[];
  /**
   * `'local-first'`: local members before remote ones. `'as-listed'`: in the order of `members`.
   * @default 'local-first'
   */
  readonly order?: 'local-first' | 'as-listed';
  /**
   * The local member that receives pushes.
   * @default none: pushes are refused
   */
  readonly pushTo?: string;
  /**
   * Patterns of images that are never requested from remote members, so that no one outside can take their names.
   * @default []
   */
  readonly reserved?: readonly string[];
}

/** Another registry: a pull-through cache of it, or a pass-through to it. */
export interface RemoteRepositoryOptions {
  /** The first component of the names of its images: `docker-internal` in `host/docker-internal/team/app`. */
  readonly name: string;
  /**
   * Free text.
   * @default ''
   */
  readonly description?: string;
  /** `'local'`, `'remote'` or `'virtual'`. */
  readonly type: 'remote';
  /**
   * The upstream's URL: `https://registry.example.com`. A path in it is prepended to image names:
   * `https://host/team`. Either `url` or `upstream` is required.
   * @default that of `upstream`
   */
  readonly url?: string;
  /**
   * A well-known registry, instead of a `url`: `docker.io`, `ghcr.io`, `quay.io`, `registry.k8s.io`,
   * `public.ecr.aws`, `mcr.microsoft.com`, `gcr.io`.
   * @default the registry at `url`
   */
  readonly upstream?: 'docker.io' | 'ghcr.io' | 'quay.io' | 'registry.k8s.io' | 'public.ecr.aws' | 'mcr.microsoft.com' | 'gcr.io';
  /**
   * Whether the upstream has the official images of Docker Hub, so that `alpine` and `library/alpine` are one image.
   * Set it for a mirror of Docker Hub.
   * @default `true` for the host names of Docker Hub
   */
  readonly dockerHub?: boolean;
  /**
   * Whether to cache pulled content. `false` passes every request through.
   * @default true
   */
  readonly cache?: boolean;
  /**
   * Credentials for the upstream: a name and a password, a token that is sent unchanged, or a Docker credential
   * helper that returns one of them. In code, also a function that returns them.
   * @default none: anonymous requests
   */
  readonly credentials?: { readonly username: string; readonly password: string } | { readonly token: string } | { readonly exec: readonly string[]; readonly expiresSeconds?: number } | (() => Promise<UpstreamCredentials | undefined>);
  /**
   * How long a tag is served without revalidation. `0`: every request revalidates it.
   * @default 300
   */
  readonly tagTtlSeconds?: number;
  /**
   * `tagTtlSeconds` by pattern: `[{ tags: '*-snapshot', ttlSeconds: 10 }]`. The first match applies. Without a match,
   * every request revalidates tags of signatures, attestations and SBOMs: `*.sig`, `*.att`, `*.sbom` and
   * `sha256-<hex>`.
   * @default []
   */
  readonly tagTtlRules?: readonly { readonly tags: string; readonly ttlSeconds: number }[];
  /**
   * How long a "not found" response of the upstream is cached. Those for tags of signatures are not, unless
   * `tagTtlRules` match.
   * @default 30
   */
  readonly negativeTtlSeconds?: number;
  /**
   * The treatment of a cached tag that the upstream reports as absent. `'drop'`: the tag is removed, and the 404
   * names the digest that is still cached. `'keep'`: it is served as stale.
   * @default 'drop'
   */
  readonly whenAbsent?: 'drop' | 'keep';
  /**
   * How long lists of tags are served without revalidation. Lists of referrers are revalidated by every request,
   * unless `tagTtlRules` match `sha256-<hex>`.
   * @default 60
   */
  readonly listTtlSeconds?: number;
  /**
   * The maximum size of the cache. It evicts the least recently used content.
   * @default no limit
   */
  readonly maxCacheBytes?: number;
  /**
   * Content that is never evicted: patterns of `image` or `image:tag`.
   * @default []
   */
  readonly pins?: readonly string[];
  /**
   * With `cache: false`: follow redirects to other hosts, or pass them to the client (`'pass'`).
   * @default 'follow'
   */
  readonly redirects?: 'follow' | 'pass';
  /**
   * Timeout for establishing a connection.
   * @default 5
   */
  readonly connectTimeoutSeconds?: number;
  /**
   * Timeout for the response headers and for each further part of the body.
   * @default 30
   */
  readonly responseTimeoutSeconds?: number;
  /**
   * Certificates of a private certificate authority in PEM, trusted in addition to the public authorities.
   * @default none
   */
  readonly ca?: string;
  /**
   * The URL of an outgoing proxy.
   * @default `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` decide
   */
  readonly proxy?: string;
  /**
   * Private, loopback and link-local addresses to which redirects and token realms may lead: `true` for all, or a
   * list of hosts, addresses and networks: `['gitlab.corp.example', '10.0.0.0/8']`. The host of `url` may always be
   * reached.
   * @default false
   */
  readonly allowPrivateTargets?: boolean | readonly string[];
  /**
   * Hosts of token realms in other registrable domains than that of `url` that may receive the password:
   * `['auth.example.net']`.
   * @default []
   */
  readonly trustedRealms?: readonly string[];
}

/** A repository that the registry stores itself. */
export interface LocalRepositoryOptions {
  /** The first component of the names of its images: `docker-internal` in `host/docker-internal/team/app`. */
  readonly name: string;
  /**
   * Free text.
   * @default ''
   */
  readonly description?: string;
  /** `'local'`, `'remote'` or `'virtual'`. */
  readonly type: 'local';
  /**
   * Which missing content a pushed manifest may reference. `'indexes'`: the children of an index, but not the config
   * and layers of an image. `true`: anything. `false`: nothing. Layers with `urls` may always be missing.
   * @default 'indexes'
   */
  readonly sparse?: boolean | 'indexes';
  /**
   * How long a deleted manifest can be restored, with its tags. Its content occupies disk space until then, or until
   * the disk is full. `0`: no trash.
   * @default 604800
   */
  readonly trashSeconds?: number;
  /**
   * The maximum size of all its images together. A push that exceeds it gets 403.
   * @default no limit
   */
  readonly maxBytes?: number;
  /**
   * Patterns of tags that cannot be moved or deleted once they exist: `['v*']`. Pushing the same digest again
   * succeeds; everything else gets 403.
   * @default []
   */
  readonly immutableTags?: readonly string[];
  /**
   * Exceptions from `immutableTags`: `['v*-rc*']`.
   * @default []
   */
  readonly mutableTags?: readonly string[];
}
