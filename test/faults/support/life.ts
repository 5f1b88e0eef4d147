import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  startRegistry,
  type RegistryServer,
  type RegistryServerOptions,
} from '../../../e2e-docker/support/registry-server.js';
import { PatientClient } from './patient-client.js';

/** A server that can be restarted, and its client. `restart` replaces both. */
export class Life {
  readonly #folder: string;
  readonly #options: RegistryServerOptions;
  #server: RegistryServer | undefined;
  #client: PatientClient | undefined;

  constructor(folder: string, options: RegistryServerOptions) {
    this.#folder = folder;
    this.#options = options;
  }

  get server(): RegistryServer {
    if (this.#server === undefined) throw new Error('the server is not running');
    return this.#server;
  }

  get client(): PatientClient {
    if (this.#client === undefined) throw new Error('the server is not running');
    return this.#client;
  }

  async start(): Promise<PatientClient> {
    this.#server = await startRegistry(this.#folder, this.#options);
    this.#client = new PatientClient(this.#server.origin);
    this.#client.begin(0);
    return this.#client;
  }

  /** Sends SIGTERM or SIGKILL, and waits for the end. */
  async end(how: 'stop' | 'kill'): Promise<void> {
    const [server, client] = [this.#server, this.#client];
    this.#server = this.#client = undefined;
    await client?.close();
    await server?.[how]();
  }

  async restart(how: 'stop' | 'kill'): Promise<PatientClient> {
    await this.end(how);
    return this.start();
  }
}

/**
 * Waits until the reserve of a data folder is complete. The server creates it in the background after its first start.
 */
export async function waitForReserve(data: string): Promise<void> {
  for (let attempt = 0; attempt < 600; attempt++) {
    const held = await stat(join(data, 'reserve')).catch(() => undefined);
    if (held !== undefined && held.size > 0 && held.blocks * 512 >= held.size) return;
    await sleep(100);
  }
  throw new Error('the server created no reserve within a minute');
}
