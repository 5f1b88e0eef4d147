import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { createRenamer } from '../../../src/command/stack-sources.js';

const root = path.join(import.meta.dirname, '../../..');
const run = promisify(execFile);

function compiledFrom(folder: string): string[] {
  return readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))
    .map((file) => path.posix.join('dist', folder, file.split(path.sep).join('/')))
    .flatMap((file) => [file.replace(/\.ts$/, '.js'), file.replace(/\.ts$/, '.d.ts')]);
}

async function packedFiles(): Promise<string[]> {
  const { stdout } = await run('npm', ['pack', '--dry-run', '--ignore-scripts', '--json'], { cwd: root });
  const [packed] = JSON.parse(stdout) as { files: { path: string }[] }[];
  return packed?.files.map((file) => file.path).toSorted() ?? [];
}

const isOfUi = (file: string): boolean => file.startsWith('dist/ui/');
const isOfCommand = (file: string): boolean => file.startsWith('dist/command/');

it('the package contains the built web UI, each file with its compressed forms', async () => {
  const files = (await packedFiles()).filter(isOfUi);
  const plain = files.filter((file) => !/\.(?:br|gz)$/.test(file));
  expect(plain).toContain('dist/ui/index.html');
  expect(plain.filter((file) => !/^dist\/ui\/(?:index\.html|assets\/[\w-]+\.(?:js|css|svg))$/.test(file))).toEqual([]);
  expect(files).toEqual(plain.flatMap((file) => [file, `${file}.br`, `${file}.gz`]).toSorted());
});

it('the package contains the command in a few files, with the licenses of the packages in it', async () => {
  const files = (await packedFiles()).filter(isOfCommand);
  expect(files.filter((file) => !/^dist\/command\/[\w-]+\.cjs(?:\.map)?$/.test(file))).toEqual([
    'dist/command/cli.js',
    'dist/command/licenses.md',
  ]);
  const maps = files.filter((file) => file.endsWith('.map'));
  // The file with helpers of the bundler has no source.
  const isMapped = (file: string): boolean => file.endsWith('.cjs') && !file.endsWith('rolldown-runtime.cjs');
  expect(maps).toEqual(files.filter(isMapped).map((file) => `${file}.map`));
  expect(files.length - maps.length).toBeLessThan(40);
  const bytes = maps.map((file) => statSync(path.join(root, file)).size);
  expect(bytes.reduce((sum, size) => sum + size)).toBeLessThan(1024 * 1024);
  const licenses = readFileSync(path.join(root, 'dist/command/licenses.md'), 'utf8');
  for (const name of ['zod', 'commander', 'pino', 'connect'])
    expect(licenses).toMatch(new RegExp(`^## ${name} - `, 'm'));
});

it('the maps of the command name the line of each throw in our code', () => {
  const folder = path.join(root, 'dist/command/');
  const rename = createRenamer(folder);
  const linesOf = (file: string): string[] => readFileSync(path.join(root, file), 'latin1').split('\n');
  const sources = new Map<string, string[]>();
  const found = readdirSync(folder)
    .filter((file) => file.endsWith('.cjs'))
    .flatMap((file) =>
      linesOf(`dist/command/${file}`).flatMap((text, i) =>
        [...text.matchAll(/\bthrow new /g)].map(({ index }) =>
          rename(` dist/command/${file}:${i + 1}:${index + 1}`).trim(),
        ),
      ),
    );
  const ours = found.filter((position) => position.startsWith('src/'));
  const wrong = ours.filter((position) => {
    const [file = '', line] = position.split(':');
    const lines = sources.get(file) ?? linesOf(file);
    sources.set(file, lines);
    return lines[Number(line) - 1]?.includes('throw new ') !== true;
  });
  expect(wrong).toEqual([]);
  expect(ours.length).toBeGreaterThan(200);
});

it('the command is in ASCII', () => {
  const files = readdirSync(path.join(root, 'dist/command')).filter((file) => file.endsWith('.cjs'));
  const isPlain = (file: string): boolean =>
    !/[\u0080-\uffff]/.test(readFileSync(path.join(root, 'dist/command', file), 'latin1'));
  expect(files.filter((file) => !isPlain(file))).toEqual([]);
});

it('the package contains the compiled sources, the schema of the config file, the OpenAPI document, and seven other files', async () => {
  const expected = [
    ...compiledFrom('src').filter((file) => !file.startsWith('dist/src/command/')),
    ...compiledFrom('adapters'),
    'dist/config.schema.json',
    'dist/openapi.json',
  ];
  const deployed = ['nginx/artifactapi.conf', 'nginx/scale-out.conf', 'systemd/artifactapi.service'].map(
    (file) => `adapters/${file}`,
  );
  // If there are more, dist/ has files of deleted sources: remove it and build.
  expect((await packedFiles()).filter((file) => !isOfUi(file) && !isOfCommand(file))).toEqual(
    [...expected, ...deployed, 'CHANGELOG.md', 'LICENSE', 'README.md', 'package.json'].toSorted(),
  );
});

it.runIf(process.platform !== 'win32')('the command is executable', () => {
  expect(statSync(path.join(root, 'dist/command/cli.js')).mode & 0o777).toBe(0o755);
});

it('the package has the schema of the documentation', () => {
  const [shipped, documented] = ['dist', 'docs'].map((folder) =>
    readFileSync(path.join(root, folder, 'config.schema.json'), 'utf8'),
  );
  expect(shipped).toBe(documented);
});

const { exports } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { exports: object };
const entries = Object.keys(exports).filter((entry) => entry !== './package.json');

it.each(entries)('%s has the same exports for import and for require', async (entry) => {
  const name = JSON.stringify(`artifactapi${entry.slice(1)}`);
  const keys = `import(${name}).then((it) => console.log(JSON.stringify([Object.keys(require(${name})), Object.keys(it)])))`;
  const { stdout } = await run(process.execPath, ['-e', keys], { cwd: root });
  const [required, imported] = JSON.parse(stdout) as [string[], string[]];
  expect(required).toEqual(imported);
  expect(imported).not.toEqual([]);
});
