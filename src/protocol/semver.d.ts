// The parts of the package that we use. It has no types of its own.

declare module 'semver/functions/satisfies.js' {
  export default function satisfies(version: string, range: string): boolean;
}
declare module 'semver/functions/valid.js' {
  export default function valid(version: string): string | null;
}
declare module 'semver/ranges/valid.js' {
  export default function validRange(range: string): string | null;
}
