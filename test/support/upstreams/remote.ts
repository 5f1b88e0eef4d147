import { vi } from 'vitest';
import type { RegistryOptions } from '../../../src/index.js';
import { Client } from '../clients/client.js';
import { startFaultUpstream, type FaultUpstream } from './fault-upstream.js';
import { startMemoryRegistry, startRegistry, type TestRegistry } from '../servers/registry.js';

type RepositoryOptions = NonNullable<RegistryOptions['repositories']>[number];
/** Options of the remote repository. */
export type RemoteOptions = Omit<Extract<RepositoryOptions, { type: 'remote' }>, 'type' | 'name' | 'url'>;

/** The clock of registries that are created later. It stands still until it is advanced, so that no second ends in between. */
export class MovableClock {
  #now = Date.now();

  constructor() {
    vi.spyOn(Date, 'now').mockImplementation(() => this.#now);
  }

  /** Advances the clock. */
  advance(seconds: number): void {
    this.#now += seconds * 1000;
  }

  /** Restores the real clock. */
  restore(): void {
    vi.restoreAllMocks();
  }
}

/** Collects the cleanup tasks of a test and runs them in reverse order. */
export class Cleanups {
  readonly #tasks: (() => unknown)[] = [];

  add(...tasks: readonly (() => unknown)[]): void {
    this.#tasks.push(...tasks);
  }

  async run(): Promise<void> {
    for (const task of this.#tasks.splice(0).toReversed()) await task();
  }
}

/** An upstream, a registry in front of it, and a client. */
export interface RemoteScene {
  readonly fault: FaultUpstream;
  readonly server: TestRegistry;
  readonly client: Client;
}

/**
 * Starts a fault-injecting upstream, a registry and a client. The repository `hub` caches the upstream, beside the
 * local repository `local` and those of the options. `local` accepts manifests without their blobs, since these tests
 * concern the upstream.
 */
export async function startRemote(
  cleanups: Cleanups,
  hub: RemoteOptions = {},
  {
    others = () => [],
    onDisk = false,
    ...options
  }: Partial<RegistryOptions> & {
    readonly others?: (url: string) => readonly RepositoryOptions[];
    readonly onDisk?: boolean;
  } = {},
): Promise<RemoteScene> {
  const fault = await startFaultUpstream();
  cleanups.add(() => fault.close());
  const start = onDisk ? startRegistry : startMemoryRegistry;
  const server = await start({
    repositories: [
      { name: 'local', type: 'local', sparse: true },
      { name: 'hub', type: 'remote', url: fault.url, ...hub },
      ...others(fault.url),
    ],
    ...options,
  });
  cleanups.add(() => server.close());
  const client = new Client(server.url);
  cleanups.add(() => client.close());
  return { fault, server, client };
}
