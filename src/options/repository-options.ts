import type { Sparse, UpstreamCredentials } from '../protocol/settings/repository-config.js';

interface CommonRepositoryOptions {
  /** The first part of the names of its images: `docker-internal` in `host/docker-internal/team/app`. */
  readonly name: string;
  /**
   * Free text for people.
   * @default ''
   */
  readonly description?: string;
}

/** A repository that the registry stores itself. */
export interface LocalRepositoryOptions extends CommonRepositoryOptions {
  readonly type: 'local';
  /**
   * Which content a pushed manifest may name although it is missing. `'indexes'`: the children of an index, but not the
   * config and layers of an image manifest. `true`: anything. `false`: nothing. Layers with `urls` may always be missing.
   * @default 'indexes'
   */
  readonly sparse?: Sparse;
}

/** Another registry: a pull-through cache of it, or a way through to it. */
export interface RemoteRepositoryOptions extends CommonRepositoryOptions {
  readonly type: 'remote';
  /** Where it is: `https://registry-1.docker.io`. A path goes before the names of images: `https://host/team`. */
  readonly url: string;
  /**
   * Keep what is pulled; `false` passes every exchange through.
   * @default true
   */
  readonly cache?: boolean;
  /**
   * Our own at the upstream: a name and a password, or a token that is sent as it is; or a function that gives them.
   * @default none: as anybody
   */
  readonly credentials?: UpstreamCredentials | (() => Promise<UpstreamCredentials | undefined>);
  /**
   * How long a tag is served without asking the upstream.
   * @default 300
   */
  readonly tagTtlSeconds?: number;
  /**
   * The same for tags that match a pattern, `{ tags: '*-snapshot', ttlSeconds: 10 }`; the first that matches counts.
   * @default []
   */
  readonly tagTtlRules?: readonly { readonly tags: string; readonly ttlSeconds: number }[];
  /**
   * How long it is remembered that something is absent.
   * @default 30
   */
  readonly negativeTtlSeconds?: number;
  /**
   * How long lists of tags and referrers are served without asking.
   * @default 60
   */
  readonly listTtlSeconds?: number;
  /**
   * The size that the cache is kept below: what was not asked for longest goes first.
   * @default none: it grows
   */
  readonly maxCacheBytes?: number;
  /**
   * What is never evicted: patterns of `image` or `image:tag`.
   * @default []
   */
  readonly pins?: readonly string[];
  /**
   * With `cache: false`: follow redirects to other hosts, or hand them to the client.
   * @default 'follow'
   */
  readonly redirects?: 'follow' | 'pass';
  /**
   * How long a connection may take.
   * @default 5
   */
  readonly connectTimeoutSeconds?: number;
  /**
   * How long the head of an answer, and each next part of its body, may take.
   * @default 30
   */
  readonly responseTimeoutSeconds?: number;
  /**
   * Certificates of a private authority, as PEM.
   * @default the well-known ones
   */
  readonly ca?: string;
  /**
   * The URL of an outgoing proxy.
   * @default what HTTPS_PROXY, HTTP_PROXY and NO_PROXY say
   */
  readonly proxy?: string;
  /**
   * Where redirects and token realms of this upstream may lead although the address is private, loopback or link-local:
   * everywhere (`true`), or hosts, addresses and networks: `['gitlab.corp.example', '10.0.0.0/8']`. The host of `url` may
   * always be reached.
   * @default false
   */
  readonly allowPrivateTargets?: boolean | readonly string[];
  /**
   * Hosts of token realms that get the password of `credentials` although they are in another registrable domain than `url`:
   * `['auth.example.net']`.
   * @default []
   */
  readonly trustedRealms?: readonly string[];
}

/** Several repositories under one name. */
export interface VirtualRepositoryOptions extends CommonRepositoryOptions {
  readonly type: 'virtual';
  /** By name, or with patterns of the images that a member is asked for (`include`) and is not (`exclude`). */
  readonly members: readonly (
    string | { readonly name: string; readonly include?: readonly string[]; readonly exclude?: readonly string[] }
  )[];
  /**
   * `local-first`: locals before remotes; or `as-listed`.
   * @default 'local-first'
   */
  readonly order?: 'local-first' | 'as-listed';
  /**
   * The local member that takes pushes.
   * @default none: nothing can be pushed
   */
  readonly pushTo?: string;
  /**
   * Patterns of images that no remote is ever asked for, so that nobody outside can stand in for them.
   * @default []
   */
  readonly reserved?: readonly string[];
}

export type RepositoryOptions = LocalRepositoryOptions | RemoteRepositoryOptions | VirtualRepositoryOptions;
