import type { RegistryOptions } from '../../src/index.js';
import { listen, startRegistry, type Listening, type TestRegistry } from '../../test/support/servers/registry.js';
import { Client } from '../../test/support/clients/client.js';
import { createRegistryListener } from '../../adapters/node.js';

/** A registry with a web UI, and a client to fill it. */
export interface UiScene {
  readonly registry: TestRegistry;
  readonly client: Client;
  /** The origin of the page. */
  readonly origin: string;
  /** The URL of the page, with a slash at the end. */
  readonly page: string;
  close(): Promise<void>;
}

/** Starts a registry whose web UI and management API are mounted at `place`. */
export async function startUi(options: Partial<RegistryOptions> = {}, place = '/'): Promise<UiScene> {
  const registry = await startRegistry(options);
  const listening: Listening = await listen(createRegistryListener(registry.registry, { management: place, ui: true }));
  const client = new Client(listening.url);
  return {
    registry,
    client,
    origin: listening.url,
    page: `${listening.url}${place.replace(/\/$/, '')}/ui/`,
    close: async () => {
      await client.close();
      await listening.close();
      await registry.close();
    },
  };
}
