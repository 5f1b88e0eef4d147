import type { RegistryOptions } from '../../src/index.js';
import { createMemoryDisk, MemoryBlobStore, type MemoryDisk } from '../support/storage/memory-blob-store.js';
import { Client } from '../support/clients/client.js';
import { startRegistry, type TestRegistry } from '../support/servers/registry.js';
import { quiet } from '../support/storage/backup-scene.js';
import { createDatabase, type TestDatabase } from './databases.js';

/** A registry that shares its database and its blobs with others. */
export interface Node {
  readonly registry: TestRegistry;
  readonly client: Client;
}

/** Nodes of one registry, on a database of their own. */
export interface Nodes {
  readonly database: TestDatabase;
  readonly disk: MemoryDisk;
  /** Starts a node. @param url leads to the database, perhaps through a proxy */
  start(options?: Partial<RegistryOptions>, url?: string): Promise<Node>;
  /** Stops all nodes and removes the database. */
  stop(): Promise<void>;
}

/** Creates a database for nodes. */
export async function createNodes(): Promise<Nodes> {
  const database = await createDatabase();
  const disk = createMemoryDisk();
  const started: Node[] = [];
  return {
    database,
    disk,
    start: async (options = {}, url) => {
      const metadata = await database.open({ ...(url === undefined ? {} : { url }), knowsPlaces: false });
      const blobs = new MemoryBlobStore(disk);
      const garbageCollection = { intervalSeconds: 0, graceSeconds: 0 };
      const registry = await startRegistry({ ...quiet, garbageCollection, ...options, storage: { metadata, blobs } });
      const node = { registry, client: new Client(registry.url) };
      started.push(node);
      return node;
    },
    stop: async () => {
      for (const { registry, client } of started.splice(0)) {
        await client.close();
        await registry.close();
      }
      await database.drop();
    },
  };
}
