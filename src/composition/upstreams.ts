import { isDeepStrictEqual } from 'node:util';
import type { Logger, Runtime } from '../ports/runtime.js';
import type { Outgoing, Upstream } from '../ports/upstream.js';
import { toRegistryUrl } from '../protocol/docker-hub.js';
import type { RemoteRepositoryConfig } from '../protocol/settings/repository-config.js';
import { createUpstream } from '../upstream/upstream-client.js';
import { createOutgoing } from '../util/outgoing/outgoing.js';

const connectionSettings = [
  'url',
  'credentials',
  'trustedRealms',
  'allowPrivateTargets',
  'ca',
  'proxy',
  'connectTimeoutSeconds',
  'responseTimeoutSeconds',
] as const;

/** The settings of a repository that its upstream client depends on. */
type ConnectionSettings = Pick<RemoteRepositoryConfig, (typeof connectionSettings)[number]>;

/** The client of an upstream, and the settings of connections to it. */
export interface Connected {
  readonly upstream: Upstream;
  readonly outgoing: Outgoing;
}

/**
 * The clients of the upstreams of all repositories. When the settings of a repository change, its client stays unless a setting
 * of the connection changed, and with it the circuit breaker, tokens and connections. A client that was replaced stays usable,
 * so that its transfers can finish.
 */
export class Upstreams {
  readonly #runtime: Runtime;
  readonly #instanceId: string;
  readonly #current = new Map<string, Connected & { readonly settings: ConnectionSettings }>();
  /** Replaced clients that transfers may still use. Their idle connections end by themselves. */
  #replaced: WeakRef<Upstream>[] = [];

  /** @param instanceId our name in `Via`. */
  constructor(runtime: Runtime, instanceId: string) {
    this.#runtime = runtime;
    this.#instanceId = instanceId;
  }

  /** Returns the client of a repository. Creates it if there is none with these settings. */
  connect(config: RemoteRepositoryConfig): Connected {
    const settings = Object.fromEntries(connectionSettings.map((name) => [name, config[name]]));
    const current = this.#current.get(config.name);
    if (current !== undefined && isDeepStrictEqual(current.settings, settings)) return current;
    this.retire(config.name);
    // `Object.fromEntries` loses the names, which are those of `connectionSettings`.
    const created = { ...this.#create(config.name, config), settings: settings as ConnectionSettings };
    this.#current.set(config.name, created);
    return created;
  }

  /** Returns the present clients. */
  list(): readonly { readonly repository: string; readonly upstream: Upstream }[] {
    return [...this.#current].map(([repository, { upstream }]) => ({ repository, upstream }));
  }

  /** Gives up the client of a repository, which stays usable for its transfers. */
  retire(name: string): void {
    const current = this.#current.get(name);
    if (current === undefined) return;
    this.#current.delete(name);
    this.#replaced = this.#replaced.filter((one) => one.deref() !== undefined);
    this.#replaced.push(new WeakRef(current.upstream));
  }

  /** Closes the client of a deleted repository. */
  async forget(name: string): Promise<void> {
    const current = this.#current.get(name);
    this.#current.delete(name);
    await current?.upstream.close();
  }

  async close(): Promise<void> {
    const current = [...this.#current.values()].map(({ upstream }) => upstream);
    const replaced = this.#replaced.flatMap((one) => one.deref() ?? []);
    await Promise.all([...current, ...replaced].map((upstream) => upstream.close()));
  }

  #create(repository: string, config: ConnectionSettings): Connected {
    const url = toRegistryUrl(config.url);
    const log = nameRepository(this.#runtime.log, repository);
    const outgoing = createOutgoing({
      ...config,
      url: new URL(url),
      connectTimeoutMs: config.connectTimeoutSeconds * 1000,
      responseTimeoutMs: config.responseTimeoutSeconds * 1000,
      log,
    });
    const { credentials, trustedRealms } = config;
    const now = (): number => this.#runtime.now();
    const common = { credentials, trustedRealms, instanceId: this.#instanceId, log, now };
    return { outgoing, upstream: createUpstream({ url, outgoing, ...common }) };
  }
}

/** Returns a logger that adds the name of the repository to each line. */
function nameRepository(log: Logger, repository: string): Logger {
  const at =
    (level: keyof Logger) =>
    (fields: object, message: string): void =>
      log[level]({ repository, ...fields }, message);
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
