import type { Addressing, Repository, ResolvedName } from '../ports/repository.js';
import { canonicalNamespace } from '../protocol/docker-hub.js';
import type { WireName } from '../protocol/names.js';

/** The settings that decide which repository a name means, besides its first part. */
export interface NameOptions {
  readonly hosts: Readonly<Record<string, string>>;
  readonly namespaces: Readonly<Record<string, string>>;
  readonly defaultRepository?: string | undefined;
}

/** Resolves the names of requests to repositories and images. */
export class NameResolver {
  readonly #find: (name: string) => Repository | undefined;
  readonly #hosts: ReadonlyMap<string, string>;
  readonly #namespaces: ReadonlyMap<string, string>;
  readonly #defaultRepository: string | undefined;

  constructor({ hosts, namespaces, defaultRepository }: NameOptions, find: (name: string) => Repository | undefined) {
    this.#find = find;
    this.#hosts = new Map(Object.entries(hosts).map(([host, name]) => [host.toLowerCase(), name]));
    this.#namespaces = new Map(Object.entries(namespaces).map(([ns, name]) => [canonicalNamespace(ns), name]));
    this.#defaultRepository = defaultRepository;
  }

  /** Resolves by `ns`, else by host, else by the first part of the name, else to the default repository. */
  resolve(name: WireName, { host, namespace }: Addressing = {}): ResolvedName {
    const byNamespace = this.#findNamespace(namespace);
    if (byNamespace !== undefined && namespace !== undefined)
      return { ...this.#inNamespace(byNamespace, name), namespace };
    const byHost = this.#findHost(host);
    if (byHost !== undefined) return this.#at(byHost, name);
    const slash = name.indexOf('/');
    const byPath = slash < 0 ? this.#at(name, '') : this.#at(name.slice(0, slash), name.slice(slash + 1));
    const isKnown = byPath.repository !== undefined && slash > 0;
    return isKnown || this.#defaultRepository === undefined ? byPath : this.#at(this.#defaultRepository, name);
  }

  /** Returns everything that the name may mean: at this host, at each configured one, and under each namespace. */
  resolveAll(name: WireName, host: string | undefined): readonly ResolvedName[] {
    const byNamespace = [...this.#namespaces.values()].map((repository) => this.#inNamespace(repository, name));
    const byHost = [...this.#hosts.values()].map((repository) => this.#at(repository, name));
    return [this.resolve(name, { host }), ...byNamespace, ...byHost];
  }

  /** Returns the name of the only repository that can be addressed in this way; `undefined` if all can. */
  onlyAt({ host, namespace }: Addressing): string | undefined {
    return this.#findNamespace(namespace) ?? this.#findHost(host);
  }

  #findNamespace(namespace: string | undefined): string | undefined {
    return namespace === undefined ? undefined : this.#namespaces.get(canonicalNamespace(namespace));
  }

  /** Looks a host up with its port, then without. */
  #findHost(host: string | undefined): string | undefined {
    if (host === undefined || this.#hosts.size === 0) return undefined;
    const name = host.toLowerCase();
    return this.#hosts.get(name) ?? this.#hosts.get(name.replace(/:[0-9]+$/, ''));
  }

  /**
   * BuildKit, and containerd with `override_path`, send the namespace and the path of the mirror, which names the
   * repository.
   */
  #inNamespace(repository: string, name: string): ResolvedName {
    const own = `${repository}/`;
    return this.#at(repository, name.startsWith(own) ? name.slice(own.length) : name);
  }

  /** Returns no repository for a name without an image. */
  #at(repository: string, image: string): ResolvedName {
    const found = image === '' ? undefined : this.#find(repository);
    return { repository: found, at: { repository, image: found?.canonicalImage(image) ?? image } };
  }
}
