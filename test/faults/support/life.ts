import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  startRegistry,
  type RegistryServer,
  type RegistryServerOptions,
} from '../../../e2e-docker/support/registry-server.js';
import { PatientClient } from './patient-client.js';

/** A server and the client of one of its lives: after `restart` both are new. */
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
    if (this.#server === undefined) throw new Error('the server does not run');
    return this.#server;
  }

  get client(): PatientClient {
    if (this.#client === undefined) throw new Error('the server does not run');
    return this.#client;
  }

  async start(): Promise<PatientClient> {
    this.#server = await startRegistry(this.#folder, this.#options);
    this.#client = new PatientClient(this.#server.origin);
    this.#client.begin(0);
    return this.#client;
  }

  /** SIGTERM or SIGKILL, and waits for the end. */
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

/** The reserve of a data folder is made in the background, some time after the first start. */
export async function waitForReserve(data: string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const held = await stat(join(data, 'reserve')).catch(() => undefined);
    if (held !== undefined && held.size > 0 && held.blocks * 512 >= held.size) return;
    await sleep(100);
  }
  throw new Error('the server made no reserve within 10 s');
}
