import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort } from '../../support/servers/free-port.js';
import { credentials, type S3Server } from './s3-server.js';

const run = promisify(execFile);
const startMs = 120_000;

/** Starts the smallest Ceph cluster that has an S3 server: a monitor, an OSD in memory, and RGW. */
export async function startCephRgw(): Promise<S3Server> {
  const folder = await mkdtemp(join(tmpdir(), 'artifactapi-ceph-'));
  const [s3Port, monitorPort] = [await freePort(), await freePort()];
  const daemons: ChildProcess[] = [];
  const stop = async (): Promise<void> => {
    const ended = daemons.filter((child) => child.exitCode === null).map((child) => once(child, 'exit'));
    for (const child of daemons) child.kill('SIGKILL');
    await Promise.all(ended);
    await rm(folder, { recursive: true, force: true });
  };
  const configuration = join(folder, 'ceph.conf');
  const keyring = join(folder, 'keyring');
  const env = { ...process.env, CEPH_CONF: configuration };
  const ceph = (program: string, ...args: string[]) => run(program, args, { env, timeout: startMs });
  const daemon = (program: string, ...args: string[]): ChildProcess => {
    const child = spawn(program, args, { env, stdio: 'ignore' });
    daemons.push(child);
    return child;
  };
  try {
    for (const name of ['mon', 'osd', 'rgw', 'run', 'log']) await mkdir(join(folder, name));
    const cluster = randomUUID();
    await writeFile(configuration, configurationOf({ folder, cluster, s3Port, monitorPort }));
    const all = ['mon', 'osd', 'mgr'].flatMap((kind) => ['--cap', kind, 'allow *']);
    await ceph('ceph-authtool', '--create-keyring', keyring, '--gen-key', '-n', 'mon.', '--cap', 'mon', 'allow *');
    await ceph('ceph-authtool', keyring, '--gen-key', '-n', 'client.admin', ...all);
    const map = join(folder, 'monmap');
    const address = `[v1:127.0.0.1:${monitorPort}]`;
    await ceph('monmaptool', '--create', '--fsid', cluster, '--addv', 'a', address, map);
    await ceph('ceph-mon', '--mkfs', '-i', 'a', '--monmap', map, '--keyring', keyring);
    const monitor = daemon('ceph-mon', '-i', 'a', '-f');
    await until(monitor, () => ceph('ceph', '--connect-timeout', '2', '-k', keyring, 'health'));
    const disk = randomUUID();
    await ceph('ceph', '-k', keyring, 'osd', 'new', disk);
    await ceph('ceph-osd', '-i', '0', '--mkfs', '--osd-uuid', disk, '-k', keyring);
    // An OSD that asks before it knows the monitor's map is refused, and ends.
    const startOsd = (): ChildProcess => daemon('ceph-osd', '-i', '0', '-f');
    let osd = startOsd();
    await until(monitor, async () => {
      if (osd.exitCode !== null) osd = startOsd();
      const { stdout } = await ceph('ceph', '-k', keyring, 'osd', 'stat');
      if (!stdout.includes('1 up')) throw new Error(stdout);
    });
    const endpoint = new URL(`http://127.0.0.1:${s3Port}`);
    const gateway = daemon('radosgw', '-n', 'client.admin', '-k', keyring, '-f');
    await until(gateway, () => fetch(endpoint, { signal: AbortSignal.timeout(2000) }));
    const { accessKeyId, secretAccessKey } = credentials;
    const keys = ['--access-key', accessKeyId, '--secret-key', secretAccessKey];
    await ceph(
      'radosgw-admin',
      '-k',
      keyring,
      'user',
      'create',
      '--uid',
      'test',
      '--display-name',
      'test',
      '--max-buckets',
      '0',
      ...keys,
    );
    return { endpoint, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Repeats a question until it succeeds. @throws Error when the daemon ends, or after two minutes. */
async function until(daemon: ChildProcess, ask: () => Promise<unknown>): Promise<void> {
  const end = performance.now() + startMs;
  for (;;) {
    try {
      await ask();
      return;
    } catch (cause) {
      if (daemon.exitCode !== null || performance.now() > end) {
        throw new Error(`${daemon.spawnfile} did not start`, { cause });
      }
      await setTimeout(300);
    }
  }
}

interface Cluster {
  readonly folder: string;
  readonly cluster: string;
  readonly s3Port: number;
  readonly monitorPort: number;
}

function configurationOf({ folder, cluster, s3Port, monitorPort }: Cluster): string {
  return `[global]
fsid = ${cluster}
mon host = v1:127.0.0.1:${monitorPort}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr2 = false
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
mon warn on pool no redundancy = false
mon allow pool size one = true
mon max pg per osd = 1000
osd objectstore = memstore
# A full one answers nothing. All tests store about 6 GB, which RGW deletes late.
memstore device bytes = 17179869184
rgw gc obj min wait = 1
rgw gc processor period = 5
osd crush chooseleaf type = 0
osd data = ${folder}/osd
mon data = ${folder}/mon
rgw data = ${folder}/rgw
run dir = ${folder}/run
admin socket = ${folder}/run/$cluster-$name.asok
pid file = ${folder}/run/$name.pid
log file = ${folder}/log/$name.log
crash dir = ${folder}/log
# Without tcp_nodelay, each small answer takes 40 ms.
rgw frontends = beast endpoint=127.0.0.1:${s3Port} tcp_nodelay=1
`;
}
