import { vi } from 'vitest';
import type { RegistryOptions } from '../../src/index.js';
import { Client } from './client.js';
import { startFaultUpstream, type FaultUpstream } from './fault-upstream.js';
import { startMemoryRegistry, startRegistry, type TestRegistry } from './registry.js';

type RepositoryOptions = NonNullable<RegistryOptions['repositories']>[number];
export type RemoteOptions = Omit<Extract<RepositoryOptions, { type: 'remote' }>, 'type' | 'name' | 'url'>;

/** The clock of the registries that are made after it: it goes on by itself, and can be moved on. */
export class MovableClock {
  #offsetMs = 0;

  constructor() {
    const now = Date.now;
    vi.spyOn(Date, 'now').mockImplementation(() => now.call(Date) + this.#offsetMs);
  }

  advance(seconds: number): void {
    this.#offsetMs += seconds * 1000;
  }

  restore(): void {
    vi.restoreAllMocks();
  }
}

/** Ends what a test has begun, the last first. */
export class Cleanups {
  readonly #tasks: (() => Promise<unknown>)[] = [];

  add(task: () => Promise<unknown>): void {
    this.#tasks.push(task);
  }

  async run(): Promise<void> {
    for (const task of this.#tasks.splice(0).toReversed()) await task();
  }
}

export interface RemoteScene {
  readonly fault: FaultUpstream;
  readonly server: TestRegistry;
  readonly client: Client;
}

/**
 * A fault-injecting upstream, a registry whose repository `hub` caches it, beside the local `local` and whatever else the
 * options bring, and a client. `local` accepts manifests without their blobs: these tests are about the upstream.
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
