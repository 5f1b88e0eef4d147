// Bundles the compiled command and its packages into dist/command: it starts in 0.6 of the time. Runs after the compiler. Does
// nothing without Vite, like build-ui.mjs.
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const vite = await import('vite').catch((error) => {
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
});
await vite?.build({
  root,
  configFile: false,
  logLevel: 'warn',
  // A native module stays where npm installed it.
  ssr: { noExternal: true, external: ['classic-level'] },
  build: {
    ssr: `${root}/dist/src/command/cli.js`,
    outDir: 'dist/command',
    emptyOutDir: true,
    copyPublicDir: false,
    // Stack traces keep the names of functions.
    minify: false,
    target: 'node20',
    license: { fileName: 'licenses.md' },
    rolldownOptions: {
      // Worker threads and other files of the package.
      external: /^#/,
      output: { entryFileNames: '[name].js', chunkFileNames: ({ name }) => `${name.replaceAll('.', '-')}.js` },
    },
  },
});
