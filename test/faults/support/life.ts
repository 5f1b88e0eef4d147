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
