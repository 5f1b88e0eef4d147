import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { busyboxImage, writeLayout } from './support/busybox.js';
import { describeClient } from './support/client-suite.js';
import { projectRoot, run } from './support/commands.js';
import type { Image } from './support/images.js';
import { seededRandom } from './support/random.js';
import { RegistryHttp } from './support/registry-http.js';
import { startScaledOut, type Node, type ScaledOut } from './support/scale-out.js';
import { mustPull, startLoad, type Counts, type Pushed } from './support/scale-out-load.js';
import { openWorkspace, type Workspace } from './support/test-bed.js';

/**
 * `SCALE_OUT_ROUNDS=500 npm run e2e -- scale-out` is the long form. It also kills PostgreSQL in every tenth round, lets
 * PostgreSQL and the S3 server fail, restarts all nodes, and runs more clients. `S3_SERVER=ceph` uses Ceph.
 */
const longRounds = process.env['SCALE_OUT_ROUNDS'];
const rounds = Number(longRounds ?? 20);

describeClient('three nodes behind nginx', ['nginx', 'crane', 'oras', 'helm', 'skopeo', 'busybox', 'versitygw'], () => {
  let bed: Workspace;
  let scaled: ScaledOut;
  let registry: RegistryHttp;
  let image: Image;

  beforeAll(async () => {
    bed = await openWorkspace();
    scaled = await startScaledOut(bed);
    registry = new RegistryHttp(scaled.origin);
    image = await busyboxImage({ marker: 'on three nodes' });
    await writeLayout(join(bed.folder, 'layout'), '1', image);
  }, 120_000);
  afterAll(() => bed?.close());

  const ref = (name: string): string => `${scaled.host}/local/${name}`;

  /** Every node serves the image, whichever took it. */
  async function pullFromAll(name: string, tag: string, expected: Image): Promise<void> {
    for (const { origin } of scaled.nodes) await new RegistryHttp(origin).pullImage(`local/${name}`, tag, expected);
  }

  test('crane pushes and pulls', async () => {
    const crane = (...args: string[]) => bed.run('crane', '--insecure', ...args);
    await crane('push', join(bed.folder, 'layout'), ref('crane:1'));
    await pullFromAll('crane', '1', image);
    await crane('validate', '--remote', ref('crane:1'));
  });

  test('skopeo pushes and pulls', async () => {
    const skopeo = (...args: string[]) => bed.run('skopeo', '--insecure-policy', 'copy', '--preserve-digests', ...args);
    await skopeo('--dest-tls-verify=false', `oci:${join(bed.folder, 'layout')}:1`, `docker://${ref('skopeo:1')}`);
    await pullFromAll('skopeo', '1', image);
    await skopeo('--src-tls-verify=false', `docker://${ref('skopeo:1')}`, `oci:${join(bed.folder, 'back')}:1`);
  });

  test('oras pushes and pulls', async () => {
    await writeFile(join(bed.folder, 'report.txt'), 'all is well\n');
    await bed.run('oras', 'push', '--plain-http', ref('artifact:1'), 'report.txt:text/plain');
    await bed.run('oras', 'pull', '--plain-http', '--output', join(bed.folder, 'pulled'), ref('artifact:1'));
  });

  test('helm pushes and pulls', async () => {
    await mkdir(join(bed.folder, 'app'));
    await writeFile(join(bed.folder, 'app/Chart.yaml'), 'apiVersion: v2\nname: app\nversion: 0.1.0\n');
    await bed.run('helm', 'package', 'app');
    await bed.run('helm', 'push', '--plain-http', 'app-0.1.0.tgz', `oci://${ref('charts')}`);
    await bed.run('helm', 'pull', '--plain-http', `oci://${ref('charts/app')}`, '--version', '0.1.0', '-d', 'tmp');
  });

  test('pass the OCI conformance suite', { timeout: 400_000 }, async () => {
    const env = { ...process.env, CONFORMANCE_REGISTRY: scaled.host, CONFORMANCE_REPOSITORY: 'sparse' };
    const script = join(projectRoot, 'e2e-docker/conformance.sh');
    const { stdout } = await run('bash', [script], { env, timeoutMs: 400_000 });
    expect(stdout).toContain('conformance: passed');
  });

  test(
    `no acknowledged image is lost and no answer is torn in ${rounds} rounds of kill -9 of a node`,
    { timeout: 120_000 + rounds * 10_000 },
    async () => {
      const random = seededRandom(16);
      const acknowledged: Pushed[] = [];
      const sums: Counts = { deleted: 0, repeated: 0, pulled: 0, broken: 0 };
      let started = Promise.resolve();
      for (let round = 0; round < rounds; round++) {
        const node = scaled.nodes[round % scaled.nodes.length] as Node;
        const load = startLoad(registry, 'kills', round);
        await load.more(1);
        await sleep(random.below(300));
        // The node of the last round starts under load. Two nodes serve at any time.
        await started;
        await node.kill();
        if (longRounds !== undefined && round % 10 === 9) {
          await scaled.database.kill();
          await scaled.database.restart();
        }
        await sleep(random.below(300));
        await load.stop();
        started = node.start();
        for (const pushed of load.acknowledged) await mustPull(registry, pushed);
        acknowledged.push(...load.acknowledged);
        for (const name of Object.keys(sums) as (keyof Counts)[]) sums[name] += load.counts[name];
        if (round % 50 === 49) report('so far', round + 1, acknowledged.length, sums);
      }
      await started;
      for (const pushed of acknowledged) await mustPull(registry, pushed);
      for (const { name, tag } of acknowledged.slice(-3)) {
        for (const { origin } of scaled.nodes)
          expect(await new RegistryHttp(origin).tagDigest(name, tag)).toBeDefined();
      }
      report('at the end', rounds, acknowledged.length, sums);
    },
  );
});

function report(when: string, rounds: number, images: number, counts: Counts): void {
  const { deleted, repeated, pulled, broken } = counts;
  console.log(
    `scale-out: ${when}: ${rounds} rounds, ${images} images acknowledged, ${deleted} deleted, ${pulled} pulled, ` +
      `${repeated} pushes repeated and ${broken} pulls broken by kills, 0 lost, 0 torn`,
  );
}
