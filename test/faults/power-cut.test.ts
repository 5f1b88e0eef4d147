/**
 * Power cuts on a real file system: a loop-mounted ext4 (and xfs, in the long form) is shut down under a server that
 * pushes, deletes and collects garbage, so that after mounting it again only data that reached the disk exists. The
 * server must then start, everything acknowledged must be complete, deleted content must be gone, and each tag and file
 * must be complete, acknowledged or not. Times and contents follow from the seed.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { seededRandom } from '../../e2e-docker/support/random.js';
import { describeOnDisk } from './support/describe-on-disk.js';
import { isLong, seed } from './support/form.js';
import { Ledger, runFlow } from './support/ledger.js';
import { Life } from './support/life.js';
import { LoopDisk, type FileSystem } from './support/loop-disk.js';
import { verifyBlobFiles, verifyTags } from './support/verify.js';

const config = {
  repositories: [{ name: 'local', type: 'local' }],
  // Longer than a push takes and shorter than a few rounds, so that there is always garbage to collect.
  garbageCollection: { graceSeconds: 5, intervalSeconds: 0 },
};
const writers = ['local/writer/a', 'local/writer/b', 'local/writer/c'];
const cuts = isLong ? 150 : 14;
const firstSessions = isLong ? 50 : 6;
const fileSystems: readonly FileSystem[] = isLong ? ['ext4', 'xfs'] : ['ext4'];

for (const fileSystem of fileSystems) {
  await describeOnDisk(`power cuts on ${fileSystem}`, fileSystem, () => {
    const random = seededRandom(seed);
    let disk: LoopDisk;
    let flows = 0;

    beforeAll(async () => {
      disk = await LoopDisk.create(fileSystem, 320);
    });
    afterAll(() => disk?.release());

    /**
     * Writes from several clients until the power is cut after `delayMs`. Returns the number of acknowledged pushes.
     */
    async function cutWhileWriting(life: Life, ledger: Ledger, round: string, delayMs: number): Promise<number> {
      const power = new AbortController();
      const acknowledged = ledger.kept.length;
      const write = async (name: string): Promise<void> => {
        try {
          while (!power.signal.aborted) await runFlow(life.client, ledger, flows++, round, name);
        } catch (error) {
          if (!power.signal.aborted) throw error;
        }
      };
      const cut = async (): Promise<void> => {
        await sleep(delayMs);
        power.abort();
        // After a real power cut there are no answers. Here, a concurrent flush may succeed although nothing was
        // written.
        ledger.isClosed = true;
        await disk.cut();
      };
      const ends = await Promise.allSettled([...writers.map(write), cut()]);
      for (const end of ends) if (end.status === 'rejected') throw end.reason;
      return ledger.kept.length - acknowledged;
    }

    async function powerOn(life: Life, ledger: Ledger, data: string, occasion: string): Promise<void> {
      await life.end('kill');
      ledger.isClosed = false;
      await disk.unmount();
      await disk.mount();
      const client = await life.start();
      await ledger.verify(client, occasion);
      await verifyTags(client, writers);
      await verifyBlobFiles(data);
    }

    test(`lose nothing acknowledged in ${cuts} cuts under load`, { timeout: cuts * 15_000 }, async () => {
      const data = join(disk.path, 'data');
      const ledger = new Ledger();
      const life = new Life(disk.folder, { config, data });
      try {
        await life.start();
        for (let round = 1; round <= cuts; round++) {
          const delayMs = 50 + random.below(900);
          const pushed = await cutWhileWriting(life, ledger, `round ${round}`, delayMs);
          await powerOn(life, ledger, data, `after cut ${round} (seed ${seed}, ${delayMs} ms, ${pushed} pushes)`);
        }
      } finally {
        await life.end('kill');
      }
      console.log(
        `${fileSystem}: ${cuts} cuts, ${ledger.kept.length} pushes and ${ledger.deleted.length} deletes kept`,
      );
      expect(ledger.kept.length).toBeGreaterThan(cuts);
    });

    test(
      `lose nothing acknowledged in ${firstSessions} cuts during the first session of a new folder`,
      { timeout: firstSessions * 20_000 },
      async () => {
        let early = 0;
        for (let round = 1; round <= firstSessions; round++) {
          const data = join(disk.path, `new-${round}`);
          const ledger = new Ledger();
          const life = new Life(disk.folder, { config, data });
          try {
            // Cuts half of them during the start.
            const isEarly = round % 2 === 0;
            early += isEarly ? 1 : 0;
            const delayMs = random.below(isEarly ? 500 : 300);
            if (isEarly) await Promise.allSettled([life.start(), sleep(delayMs).then(() => disk.cut())]);
            else await life.start().then(() => cutWhileWriting(life, ledger, `round ${round}`, delayMs));
            await powerOn(life, ledger, data, `after first session ${round} (seed ${seed}, ${delayMs} ms)`);
            await runFlow(life.client, ledger, flows++, `after round ${round}`, writers[0]);
          } finally {
            await life.end('kill');
          }
        }
        console.log(`${fileSystem}: ${firstSessions} first sessions cut, ${early} of them while the server started`);
      },
    );
  });
}
