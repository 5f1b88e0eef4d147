import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { connectGuides, type Lines } from '../ui/src/views/connect/connect-guides.js';
import { loginFlags, openAccessBed, type AccessBed } from './support/access-bed.js';
import { busyboxImage, writeLayout } from './support/busybox.js';
import { describeClient } from './support/client-suite.js';
import { findTool, run, toolPath } from './support/commands.js';
import { startContainerd } from './support/containerd.js';
import { startDockerEngine } from './support/docker-engine.js';
import { anyPolicy, containersArgs } from './support/podman.js';

// Runs the lines of the view Connect of the web UI as a user would: copied, with a name and a password filled in.
const repository = 'public';

const hostsFolder = '/etc/containerd/certs.d';

/** What the clients need, by the keys of the guides. */
const needs: Readonly<Record<string, readonly string[]>> = {
  docker: ['root', 'docker', 'dockerd', 'containerd', 'runc', 'ip', 'skopeo', 'busybox'],
  podman: ['root', 'podman', 'conmon', 'runc', 'skopeo', 'busybox'],
  containerd: ['root', 'ctr', 'containerd', 'containerd-shim-runc-v2', 'runc', 'busybox'],
  skopeo: ['skopeo', 'busybox'],
  crane: ['crane', 'skopeo', 'busybox'],
  oras: ['oras'],
  helm: ['helm'],
};
/** Over https they would need the certificate of the tests on the machine. */
const plainOnly = new Set(['docker', 'podman', 'containerd']);

/** A user's shell in front of the registry. */
interface Desk {
  /** The folder in which the lines run. */
  readonly folder: string;
  /** Runs lines in a shell that has the programs of the test. */
  readonly shell: (text: string) => Promise<void>;
  /** Adds a program that runs another one with more flags. */
  addTool(name: string, ...command: readonly string[]): Promise<void>;
  readonly env: NodeJS.ProcessEnv;
}

async function openDesk(bed: AccessBed): Promise<Desk> {
  const folder = path.join(bed.folder, 'desk');
  const tools = path.join(bed.folder, 'tools');
  const settings = path.join(bed.folder, 'home/.config/containers');
  for (const each of [folder, tools, settings]) await mkdir(each, { recursive: true });
  await writeFile(path.join(settings, 'policy.json'), anyPolicy);
  const env = { ...bed.env, PATH: `${tools}:${toolPath}`, CONTAINERD_SNAPSHOTTER: 'native' };
  return {
    folder,
    env,
    shell: async (text) => void (await run('sh', ['-euc', text], { env, cwd: folder })),
    addTool: async (name, ...command) => {
      const file = path.join(tools, name);
      await writeFile(file, `#!/bin/sh\nexec ${command.join(' ')} "$@"\n`);
      await chmod(file, 0o755);
    },
  };
}

/** Gives the client what a user has before the first line: its daemon, and an image, a file or a chart. */
const preparations: Readonly<Record<string, (bed: AccessBed, desk: Desk) => Promise<void>>> = {
  docker: async (bed, desk) => {
    await writeArchive(desk);
    const engine = await startDockerEngine(bed);
    bed.onClose(() => engine.stop());
    await desk.addTool('docker', 'env', `DOCKER_HOST=${engine.host}`, findTool('docker') ?? 'docker');
    await writeFile(path.join(desk.folder, 'Dockerfile'), 'FROM scratch\nCOPY app.tar /\n');
    await desk.shell('docker load --input app.tar');
  },
  podman: async (bed, desk) => {
    await writeArchive(desk);
    await desk.addTool('podman', findTool('podman') ?? 'podman', ...containersArgs(bed, 'podman'));
    await desk.shell('podman load --input app.tar && podman tag docker.io/library/app:1 app:1');
  },
  containerd: async (bed, desk) => {
    await bed.as('ana').pushImage(`${repository}/app`, '1', await busyboxImage({ marker: 'app' }));
    const containerd = await startContainerd(bed);
    bed.onClose(() => containerd.stop());
    await desk.addTool('ctr', findTool('ctr') ?? 'ctr', '--address', containerd.socket);
  },
  skopeo: (_bed, desk) => writeArchive(desk),
  crane: (_bed, desk) => writeArchive(desk),
  oras: async (_bed, { folder }) => {
    await writeFile(path.join(folder, 'report.txt'), 'all is well\n');
    await writeFile(path.join(folder, 'sbom.json'), '{}\n');
  },
  helm: (_bed, desk) => desk.shell('helm create app && helm package app --version 1.0.0'),
};

async function writeArchive({ folder, shell }: Desk): Promise<void> {
  await writeLayout(path.join(folder, 'layout'), '1', await busyboxImage({ marker: 'app' }));
  await shell('skopeo --insecure-policy copy oci:layout:1 docker-archive:app.tar:app:1');
}

/** Does with the lines what a user does: writes the file, or runs the commands. */
async function follow(bed: AccessBed, desk: Desk, { title, file, text }: Lines): Promise<void> {
  if (file !== undefined) return writeSettings(bed, file, text);
  // Not packaged by Debian.
  if (text.startsWith('nerdctl ')) return;
  const [flags, hosts] = [loginFlags('ana').join(' '), path.join(bed.folder, 'certs.d')];
  const filled = text.replace('--username NAME --password TOKEN', flags).replaceAll(hostsFolder, hosts);
  // The client would ask for both, and Helm for a cluster.
  const isAsking = title === 'Log in' && filled === text;
  await desk.shell(isAsking ? `${text} ${flags}` : filled.replace(/^helm install/, 'helm template'));
}

async function writeSettings(bed: AccessBed, file: string, text: string): Promise<void> {
  const own = file
    .replace('/etc/containers', path.join(bed.folder, 'home/.config/containers'))
    .replace('/etc/containerd', bed.folder);
  await mkdir(path.dirname(own), { recursive: true });
  await writeFile(own, text);
}

function linesOf({ registry: { host } }: AccessBed, secure: boolean, client: string): readonly Lines[] {
  return connectGuides({ host, secure, prefix: '' }, repository).find(({ key }) => key === client)?.lines ?? [];
}

describe.each([
  ['over plain http', false],
  ['over https', true],
] as const)('the lines of the view Connect %s', (_title, tls) => {
  describe.each(Object.keys(needs).filter((client) => !tls || !plainOnly.has(client)))('of the client %s', (client) => {
    describeClient(client, needs[client] ?? [], () => {
      let bed: AccessBed;
      let desk: Desk;
      beforeAll(async () => {
        bed = await openAccessBed({ tls });
        desk = await openDesk(bed);
        await preparations[client]?.(bed, desk);
      });
      afterAll(() => bed?.close());

      test('work as they are shown', async () => {
        const lines = linesOf(bed, tls, client);
        expect(lines.length).toBeGreaterThan(2);
        for (const one of lines) await follow(bed, desk, one);
      });

      if (client !== 'docker') return;
      test('work in the script of GitLab CI too', async () => {
        const [job] = linesOf(bed, tls, 'ci').filter(({ title }) => title === 'GitLab CI');
        const {
          'push-image': { script },
        } = parse(job?.text ?? '') as { 'push-image': { script: readonly string[] } };
        const [, user, , password] = loginFlags('ana');
        const variables = `export REGISTRY_USER=${user} REGISTRY_TOKEN=${password} CI_COMMIT_SHA=1234`;
        await desk.shell([variables, ...script].join('\n'));
        expect(await bed.as('ana').tagDigest(`${repository}/app`, '1234')).toMatch(/^sha256:/);
      });
    });
  });
});

test('the lines of the view Connect tell docker to allow plain http, except on loopback, where it always does', () => {
  const filesFor = (host: string): readonly (string | undefined)[] =>
    connectGuides({ host, secure: false, prefix: '' }, repository)
      .find(({ key }) => key === 'docker')
      ?.lines.map(({ file }) => file) ?? [];
  expect(filesFor('registry.example:5000')).toContain('/etc/docker/daemon.json');
  for (const host of ['localhost:5000', '127.0.0.1:5000', '127.8.9.1', '[::1]:5000'])
    expect(
      filesFor(host).filter((file) => file !== undefined),
      host,
    ).toEqual([]);
});
