// Bundles the command and its packages into dist/command: it starts in less than half of the time. Does nothing without Vite, like
// build-ui.mjs.
import { chmodSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const vite = await import('vite').catch((error) => {
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
});

const outDir = 'dist/command';
const shared = {
  root,
  configFile: /** @type {const} */ (false),
  logLevel: /** @type {const} */ ('warn'),
  ssr: { noExternal: /** @type {const} */ (true) },
};
const build = {
  outDir,
  copyPublicDir: false,
  // Stack traces keep the names of functions.
  minify: /** @type {const} */ (false),
  target: 'node20',
};

// The program, for the loader in cli.js. CommonJS loads less of Node: `import` reads all properties of its modules, and some of
// them load an HTTP/2 client and a WebSocket.
await vite?.build({
  ...shared,
  plugins: [nativeModule(), lineMaps()],
  build: {
    ...build,
    ssr: `${root}/src/command/commands.ts`,
    emptyOutDir: true,
    // Read when a stack trace is printed (stack-sources.ts).
    sourcemap: 'hidden',
    license: { fileName: 'licenses.md' },
    rolldownOptions: {
      // Worker threads and other files of the package.
      external: /^#/,
      checks: { ineffectiveDynamicImport: false },
      output: {
        format: 'cjs',
        strict: true,
        entryFileNames: '[name].cjs',
        chunkFileNames: ({ name }) => `${name.replaceAll('.', '-')}.cjs`,
        // With `false`, rolldown 1.2 shifts lines of the maps.
        comments: { legal: false, annotation: true, jsdoc: false },
        // V8 needs two bytes for each character of a file that has others, and the loader reads one byte as one character.
        charset: 'ascii',
        // Each file is a function, for the loader.
        postBanner: '(function (exports, require, module, __filename) {',
        postFooter: '});',
        sourcemapExcludeSources: true,
        sourcemapPathTransform: (file) => path.posix.join(outDir, file),
        // Two files instead of forty.
        codeSplitting: { groups: [{ name: 'shared', minShareCount: 2 }] },
      },
    },
  },
});

await vite?.build({
  ...shared,
  build: { ...build, ssr: `${root}/src/command/cli.ts`, emptyOutDir: false },
});
// npm makes it executable only when it links the package: npx in the clone could not run the result of a later build.
if (vite !== undefined) chmodSync(`${root}/dist/command/cli.js`, 0o755);

/** Leaves the native part of LevelDB where npm installed it. */
function nativeModule() {
  return {
    name: 'native-module',
    enforce: /** @type {const} */ ('pre'),
    /** @param {string} id @param {string} [importer] */
    resolveId: (id, importer) =>
      id === './binding' && /\/classic-level\/[^/]*$/.test(importer ?? '')
        ? { id: 'classic-level/binding.js', external: true }
        : undefined,
  };
}

/** Reduces maps to where another line of the source begins: a quarter of the size. Stack traces show lines only. */
function lineMaps() {
  return {
    name: 'line-maps',
    /** @param {unknown} _options @param {Record<string, { source?: string | Uint8Array }>} bundle */
    async generateBundle(_options, bundle) {
      const { decode, encode } = await import('@jridgewell/sourcemap-codec');
      for (const [name, file] of Object.entries(bundle)) {
        if (!name.endsWith('.map')) continue;
        const { version, sources, mappings } = JSON.parse(String(file.source));
        const lines = decode(mappings).map((segments) =>
          segments
            .map(([column, source, line]) => [column, source, line, 0])
            .filter(([, source, line], i, all) => source !== all[i - 1]?.[1] || line !== all[i - 1]?.[2]),
        );
        file.source = JSON.stringify({ version, sources, names: [], mappings: encode(lines) });
      }
    },
  };
}
