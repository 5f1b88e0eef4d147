// Adds the linter's binaries for all platforms to the lock file. npm omits those that its registry or mirror lacks, and then
// `npm ci` refuses the file on other platforms. Run it after every change of package-lock.json:
// `node scripts/complete-lock.mjs package-lock.json`.
import { readFileSync, writeFileSync } from 'node:fs';
const file = process.argv[2];
const lock = JSON.parse(readFileSync(file, 'utf8'));
for (const owner of ['oxlint', 'oxlint-tsgolint']) {
  const own = lock.packages[`node_modules/${owner}`];
  for (const [name, version] of Object.entries(own.optionalDependencies)) {
    const key = `node_modules/${name}`;
    if (lock.packages[key]) continue;
    // Names such as `@oxlint/binding-linux-x64-gnu` contain the os, cpu and C library.
    const [os, cpu, abi] = name.split('/')[1].replace('binding-', '').split('-');
    lock.packages[key] = {
      version,
      cpu: [cpu],
      dev: true,
      ...(os === 'linux' ? { libc: [abi?.startsWith('musl') ? 'musl' : 'glibc'] } : {}),
      license: 'MIT',
      optional: true,
      os: [os],
      engines: own.engines,
    };
  }
}
const { '': root, ...rest } = lock.packages;
lock.packages = { '': root, ...Object.fromEntries(Object.entries(rest).sort(([a], [b]) => a.localeCompare(b, 'en'))) };
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
