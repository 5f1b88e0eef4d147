import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import satisfies from 'semver/functions/satisfies.js';
import { describe, expect, it } from 'vitest';

const root = path.join(import.meta.dirname, '..');

interface SourceFile {
  readonly file: string;
  readonly imports: readonly string[];
  readonly lines: number;
}

interface Manifest {
  readonly engines: { readonly node: string };
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta: Readonly<Record<string, object>>;
}

/** The layers that each layer may import. The composition roots may import all of them. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  http: ['http', 'ports', 'protocol', 'util'],
  archives: ['archives', 'ports', 'protocol', 'util'],
  repositories: ['repositories', 'ports', 'protocol', 'util'],
  storage: ['storage', 'ports', 'protocol', 'util'],
  upstream: ['upstream', 'ports', 'protocol', 'util'],
  access: ['access', 'ports', 'protocol', 'util'],
  options: ['options', 'ports', 'protocol', 'util'],
  operations: ['operations', 'ports', 'protocol', 'util'],
  ports: ['ports', 'protocol'],
  protocol: ['protocol'],
  util: ['util', 'ports', 'protocol'],
  adapters: [],
};
const roots = new Set(['index', 'registry', 'composition', 'command']);

/** The only place that may import each package (docs/architecture.md). */
const homes: Readonly<Record<string, readonly RegExp[]>> = {
  level: [/^src\/storage\/level\//],
  connect: [/^src\/command\/serve\/server\.ts$/],
  fastify: [/^adapters\/fastify\.ts$/],
  commander: [/^src\/command\//],
  pino: [/^src\/command\/serve\/log\/serve-log\.ts$/],
  'pino-pretty': [/^src\/command\/serve\/log\/readable-lines\.ts$/],
  yaml: [/^src\/command\/config-(?:file|positions)\.ts$/],
  'proxy-from-env': [/^src\/util\/outgoing\/outgoing-proxy\.ts$/],
  'range-parser': [/^src\/protocol\/headers\.ts$/],
  'content-type': [/^src\/protocol\/manifests\/manifest\.ts$/],
  'lru-cache': [/^src\/(?:storage|repositories|access|upstream)\//, /^src\/http\/limits\/rate-limit\.ts$/],
  jose: [/^src\/access\//],
  bcryptjs: [/^src\/access\/identities\/password-/],
  'http-proxy': [/^src\/http\/passthrough\/passthrough\.ts$/],
  pg: [/^src\/storage\/postgres\/postgres-pool\.ts$/],
  tldts: [/^src\/upstream\/credentials\/upstream-realm\.ts$/],
  busboy: [/^src\/http\/bodies\/archive-body\.ts$/],
  'tar-stream': [/^src\/archives\//],
  fzstd: [/^src\/archives\/tar\/zstd-unpack\.ts$/],
  'prom-client': [/^src\/operations\/metrics\//],
  aws4: [/^src\/storage\/s3\/client\/s3-signing\.ts$/],
  'hash-wasm': [/^src\/storage\/s3\/uploads\/running-digest\.ts$/],
  sirv: [/^src\/http\/ui-files\.ts$/],
  semver: [/^src\/protocol\/version-range\.ts$/],
  zod: [/^src\/protocol\/zod\.ts$/],
};

function listSources(folder: string): string[] {
  return readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
    .map((file) => path.posix.join(folder, file.split(path.sep).join('/')))
    .filter((file) => file.endsWith('.ts'));
}

function readSource(file: string): SourceFile {
  const text = readFileSync(path.join(root, file), 'utf8');
  const imports = [
    ...text.matchAll(/^(?:import|export)\s[^;]*?from\s+'([^']+)'|^import\s+'([^']+)'|\bimport\('([^']+)'\)/gm),
  ];
  return {
    file,
    imports: imports.map((match) => match[1] ?? match[2] ?? match[3] ?? ''),
    lines: text.split('\n').length,
  };
}

/** `src/http/reply.ts` → http, `src/options/registry-options.ts` → options, `adapters/express.ts` → adapters. */
function layerOf(file: string): string {
  const [top = '', second = ''] = file.split('/');
  return top === 'src' ? second.replace(/\.ts$/, '') : top;
}

function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

function importedFiles({ file, imports }: SourceFile): readonly string[] {
  return imports
    .filter((name) => name.startsWith('.'))
    .map((name) => path.posix.join(path.posix.dirname(file), name).replace(/\.js$/, '.ts'));
}

/** Returns the groups of files that import each other, directly or through other files. */
function findCycles(files: readonly SourceFile[]): readonly (readonly string[])[] {
  const targets = new Map(files.map((source) => [source.file, importedFiles(source)]));
  const reach = (start: string): ReadonlySet<string> => {
    const reached = new Set<string>(targets.get(start));
    for (const file of reached) for (const target of targets.get(file) ?? []) reached.add(target);
    return reached;
  };
  const reached = new Map(files.map(({ file }) => [file, reach(file)]));
  const groups = files
    .map(({ file }) => [...(reached.get(file) ?? [])].filter((other) => reached.get(other)?.has(file) === true).sort())
    .filter((group) => group.length > 0);
  return [...new Set(groups.map((group) => group.join(' ')))].map((group) => group.split(' '));
}

const sources = [...listSources('src'), ...listSources('adapters')].map(readSource);

describe('architecture: layers', () => {
  it.each(sources.map((source) => [source.file, source] as const))(
    '%s imports only layers that its own may use',
    (file, { imports }) => {
      const layer = layerOf(file);
      if (roots.has(layer)) return;
      const may = allowed[layer];
      expect(may, `unknown layer ${layer}`).toBeDefined();
      for (const specifier of imports.filter((name) => name.startsWith('.'))) {
        const target = layerOf(path.posix.join(path.posix.dirname(file), specifier).replace(/\.js$/, '.ts'));
        expect(may, `${file} imports ${specifier}`).toContain(target);
      }
    },
  );

  it('import cycles do not exist, not even of types', () => {
    expect(findCycles(sources)).toEqual([]);
  });

  it.each([
    { folder: 'src/repositories/cache/', entrances: ['src/repositories/cache/caches.ts'] },
    {
      folder: 'src/storage/',
      entrances: [
        'src/storage/bucket-stores.ts',
        'src/storage/folder-check.ts',
        'src/storage/folder-stores.ts',
        'src/storage/level/database/repair/level-repair.ts',
        'src/storage/backup/backups.ts',
        'src/storage/rebuild/rebuilds.ts',
        'src/storage/files/system/files.ts',
      ],
    },
    { folder: 'src/storage/backup/', entrances: ['src/storage/backup/backups.ts'] },
    { folder: 'src/storage/rebuild/', entrances: ['src/storage/rebuild/rebuilds.ts'] },
    {
      folder: 'src/storage/level/database/',
      entrances: ['src/storage/level/database/repair/level-repair.ts'],
      from: 'src/storage/',
    },
    { folder: 'src/http/passthrough/', entrances: ['src/http/passthrough/passthrough.ts'] },
    { folder: 'src/archives/import/', entrances: ['src/archives/import/archive-import.ts'], from: 'src/archives/' },
    { folder: 'src/archives/export/', entrances: ['src/archives/export/archive-export.ts'], from: 'src/archives/' },
    { folder: 'src/archives/tar/', entrances: [], from: 'src/archives/' },
    { folder: 'src/access/tokens/', entrances: [], from: 'src/access/' },
    { folder: 'src/access/rules/', entrances: [], from: 'src/access/' },
    { folder: 'src/access/authentication/', entrances: [], from: 'src/access/' },
    { folder: 'src/access/identities/', entrances: [], from: 'src/access/' },
  ])('$folder is private except for its entrances', ({ folder, entrances, from = folder }) => {
    const strays = sources
      .filter(({ file }) => !file.startsWith(folder) && !file.startsWith(from))
      .flatMap((source) => importedFiles(source).map((target) => [source.file, target] as const))
      .filter(([, target]) => target.startsWith(folder) && !(entrances as readonly string[]).includes(target));
    expect(strays).toEqual([]);
  });

  it('protocol/ does no I/O: node:crypto is the only module of Node that it imports', () => {
    const used = sources.filter(({ file }) => file.startsWith('src/protocol/')).flatMap(({ imports }) => imports);
    expect([...new Set(used.filter((name) => name.startsWith('node:')))]).toEqual(['node:crypto']);
  });

  it('util/ imports only types from ports/', () => {
    for (const { file } of sources.filter((source) => source.file.startsWith('src/util/'))) {
      const text = readFileSync(path.join(root, file), 'utf8');
      expect(text, file).not.toMatch(/^import (?!type )[^;]*ports\/[a-z]+\.js'/m);
    }
  });

  it('adapters import values only from Node and from the package by its name', () => {
    for (const { file } of sources.filter((source) => source.file.startsWith('adapters/'))) {
      const text = readFileSync(path.join(root, file), 'utf8');
      const values = [...text.matchAll(/^(?:import|export) (?!type )[^;]*?from '([^']+)'/gm)].map(
        ([, name = '']) => name,
      );
      expect(
        values.filter((name) => !name.startsWith('node:') && packageOf(name) !== 'artifactapi'),
        file,
      ).toEqual([]);
    }
  });
});

describe('architecture: ui/', () => {
  const pages = readdirSync(path.join(root, 'ui'), { recursive: true, encoding: 'utf8' })
    .map((file) => path.posix.join('ui', file.split(path.sep).join('/')))
    .filter((file) => /\.tsx?$/.test(file))
    .map(readSource);

  it('imports only types from our own code, and only from src/protocol/documents/', () => {
    expect(pages.length).toBeGreaterThan(10);
    for (const { file, imports } of pages) {
      const outside = imports.filter((name) => path.posix.join(path.posix.dirname(file), name).startsWith('src/'));
      expect(
        outside.filter((name) => !/\/src\/protocol\/documents\/[a-z-]+\.js$/.test(name)),
        file,
      ).toEqual([]);
      const text = readFileSync(path.join(root, file), 'utf8');
      expect(text, file).not.toMatch(/^import (?!type )[^;]*\/src\//m);
      expect(
        imports.filter((name) => name.startsWith('artifactapi')),
        file,
      ).toEqual([]);
    }
  });

  it('is not imported by any other code', () => {
    const strays = sources.filter((source) => importedFiles(source).some((target) => target.startsWith('ui/')));
    expect(strays.map(({ file }) => file)).toEqual([]);
  });

  it('sends requests only from api.ts and upload-request.ts', () => {
    const sends = /\bfetch\(|new (?:XMLHttpRequest|WebSocket|EventSource)\b|sendBeacon/;
    const files = pages.filter(({ file }) => sends.test(readFileSync(path.join(root, file), 'utf8')));
    expect(files.map(({ file }) => file)).toEqual(['ui/src/api.ts', 'ui/src/upload-request.ts']);
  });

  it('has files of at most 300 lines, without default exports', () => {
    expect(pages.filter(({ lines }) => lines > 300).map(({ file }) => file)).toEqual([]);
    const exported = pages.filter(({ file }) => /^export default/m.test(readFileSync(path.join(root, file), 'utf8')));
    expect(exported.map(({ file }) => file)).toEqual(['ui/vite.config.ts']);
  });
});

describe('architecture: packages', () => {
  const used = sources.flatMap(({ file, imports }) => imports.map((name) => ({ file, name })));
  const external = used.filter(
    ({ name }) => !name.startsWith('.') && !name.startsWith('node:') && !name.startsWith('#'),
  );

  it('each package is imported only where it belongs', () => {
    const strays = external.filter(({ file, name }) => {
      if (packageOf(name) === 'artifactapi') return !file.startsWith('adapters/');
      return homes[packageOf(name)]?.some((home) => home.test(file)) !== true;
    });
    expect(strays).toEqual([]);
  });

  it('docs/architecture.md lists the packages', () => {
    const [, section = ''] = readFileSync(path.join(root, 'docs/architecture.md'), 'utf8').split('\n## Packages\n');
    const listed = [...section.matchAll(/^\| `([^`]+)` /gm)].map(([, name = '']) => name);
    expect(listed.toSorted()).toEqual(Object.keys(homes).toSorted());
  });

  const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as Manifest;

  it('every dependency is used, and every used package is a dependency', () => {
    const inSrc = external.filter(({ file }) => file.startsWith('src/')).map(({ name }) => packageOf(name));
    // Loaded on use, by those who installed them.
    const required = inSrc.filter((name) => !(name in manifest.peerDependencies));
    expect([...new Set(required)].sort()).toEqual(Object.keys(manifest.dependencies).sort());
  });

  it('frameworks and drivers are optional peer dependencies, and development dependencies for the tests', () => {
    const peers = Object.keys(manifest.peerDependencies);
    const inAdapters = external.filter(({ file }) => file.startsWith('adapters/')).map(({ name }) => packageOf(name));
    expect(peers).toEqual(expect.arrayContaining(inAdapters.filter((name) => name !== 'artifactapi')));
    expect(manifest.peerDependenciesMeta).toEqual(Object.fromEntries(peers.map((name) => [name, { optional: true }])));
    expect(Object.keys(manifest.devDependencies)).toEqual(expect.arrayContaining(peers));
  });

  it('every version is pinned exactly', () => {
    const versions = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies });
    expect(versions.filter(([, version]) => !/^(?:npm:[^@]+@)?\d+\.\d+\.\d+$/.test(version))).toEqual([]);
  });

  it('every installed package supports the oldest Node.js that the registry supports', () => {
    const lock = JSON.parse(readFileSync(path.join(root, 'package-lock.json'), 'utf8')) as {
      readonly packages: Readonly<Record<string, { readonly engines?: { readonly node?: string } }>>;
    };
    const oldest = /^>=(\d+\.\d+)$/.exec(manifest.engines.node)?.[1];
    const ranges = Object.entries(lock.packages).map(([name, { engines }]) => ({ name, range: engines?.node ?? '*' }));
    expect(ranges.length).toBeGreaterThan(100);
    expect(ranges.filter(({ range }) => !satisfies(`${oldest}.0`, range))).toEqual([]);
  });
});

describe('architecture: adapters', () => {
  it('have at most 40 lines each, and are exported under their names', () => {
    const adapters = sources.filter(({ file }) => file.startsWith('adapters/'));
    expect(adapters.filter(({ lines }) => lines > 41)).toEqual([]);
    const { exports } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { exports: object };
    const published = adapters.map(({ file }) => file.replace(/^adapters\/(.*)\.ts$/, './$1'));
    expect(Object.keys(exports).sort()).toEqual(['.', './package.json', ...published].sort());
  });
});

describe('architecture: source files', () => {
  it('each folder has a file that opens with a paragraph about the folder', () => {
    // A comment that a blank line or an import follows is about the file, not about a declaration.
    const header = /^\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n(?:\n|import |export (?:type )?\{)/;
    const folders = new Set(sources.map(({ file }) => path.posix.dirname(file)));
    for (const without of ['src', 'src/options/generated', 'adapters']) folders.delete(without);
    const described = sources.filter(({ file }) => header.test(readFileSync(path.join(root, file), 'utf8')));
    for (const { file } of described) folders.delete(path.posix.dirname(file));
    expect([...folders]).toEqual([]);
  });

  it('have no default exports, no catch-all names and no mutable state at module level', () => {
    for (const { file } of sources) {
      const text = readFileSync(path.join(root, file), 'utf8');
      expect(path.basename(file), file).not.toMatch(/^(?:utils|helpers|common|types)\.ts$/);
      expect(text, file).not.toMatch(/^export default/m);
      expect(text, file).not.toMatch(/^(?:export )?let /m);
    }
  });

  it('log URLs of requests only through shownUrl, because a query may contain secrets', () => {
    const raw = sources.filter(({ file }) => /\burl: req\.url\b/.test(readFileSync(path.join(root, file), 'utf8')));
    expect(raw.map(({ file }) => file)).toEqual([]);
  });

  it.each([
    {
      name: 'the domain does not know HTTP requests',
      files: /^src\/(?:ports|repositories|access|archives|storage|protocol|util)\//,
      except: /^src\/(?:util\/outgoing|storage\/s3\/client)\//,
      pattern: /import [^;]*\b(?:IncomingMessage|ServerResponse)\b/,
    },
    {
      name: 'http/ does not depend on the type of a repository',
      files: /^src\/http\//,
      pattern: /'(?:local|remote|virtual)'|\bswitch \(.*\.type\)/,
    },
    {
      name: 'explain() is for people: no code but virtual repositories and the handler reads it',
      files: /^src\//,
      except: /^src\/(?:repositories\/virtual|http\/handlers|ports)\//,
      pattern: /\.explain\(/,
    },
    {
      name: 'public events do not trigger internal work',
      files: /^src\/(?!command\/)/,
      pattern: /\bevents\.(?:on|once|addListener|prependListener)\(/,
    },
    {
      name: 'only drivers create and catch ConflictError',
      files: /^src\/(?!storage\/)/,
      except: /^src\/util\/conflict-error\.ts$/,
      pattern: /import [^;]*\bConflictError\b/,
    },
  ])('$name', ({ files, except, pattern }) => {
    const strays = sources
      .map(({ file }) => file)
      .filter((file) => files.test(file) && except?.test(file) !== true)
      .filter((file) => pattern.test(readFileSync(path.join(root, file), 'utf8')));
    expect(strays).toEqual([]);
  });

  it('in storage/ call file-system functions that differ on Windows only through storage/files/system/', () => {
    const direct =
      /^import [^;]*\b(?:rename|unlink|rm|fsync)(?:Sync)?\b[^;]* from 'node:fs|\bfs\.(?:rename|unlink|rm|fsync)/m;
    const strays = sources
      .map(({ file }) => file)
      .filter((file) => file.startsWith('src/storage/') && file !== 'src/storage/files/system/system-calls.ts')
      .filter((file) => direct.test(readFileSync(path.join(root, file), 'utf8')));
    expect(strays).toEqual([]);
    const users = sources
      .filter(({ imports }) => imports.some((name) => name.endsWith('/system-calls.js')))
      .map(({ file }) => file);
    expect(users.sort()).toEqual(['src/storage/files/system/files.ts', 'src/storage/files/system/folder-handles.ts']);
  });

  it('have at most 300 lines, and half of them at most 150', () => {
    const lengths = sources.map(({ lines }) => lines).sort((a, b) => a - b);
    expect(lengths.at(-1)).toBeLessThanOrEqual(300);
    expect(lengths[Math.floor(lengths.length / 2)]).toBeLessThanOrEqual(150);
  });
});
