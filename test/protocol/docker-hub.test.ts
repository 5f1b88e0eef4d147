import { describe, expect, it } from 'vitest';
import {
  canonicalNamespace,
  hasOfficialImages,
  isDockerHub,
  toCanonicalImage,
  withCanonicalPatterns,
} from '../../src/protocol/docker-hub.js';

describe('docker-hub.ts', () => {
  it.each([
    ['https://registry-1.docker.io', true],
    ['https://docker.io', true],
    ['https://index.docker.io/', true],
    ['https://REGISTRY-1.docker.io:443/', true],
    ['https://ghcr.io', false],
    ['https://evil-docker.io', false],
    ['https://docker.io.example', false],
    ['https://hub.docker.io.example/docker.io', false],
  ])('isDockerHub returns for %s: %s', (url, expected) => {
    expect(isDockerHub(url)).toBe(expected);
  });

  it.each([
    ['https://docker.io', undefined, true],
    ['https://registry-1.docker.io/', undefined, true],
    ['https://registry-1.docker.io/team', undefined, false],
    ['https://registry-1.docker.io', false, false],
    ['https://mirror.example', undefined, false],
    ['https://mirror.example', true, true],
    ['https://mirror.example/hub', true, true],
  ])('hasOfficialImages returns for %s with dockerHub %s: %s', (url, dockerHub, expected) => {
    expect(hasOfficialImages({ url, dockerHub })).toBe(expected);
  });

  it.each([
    ['alpine', 'library/alpine'],
    ['library/alpine', 'library/alpine'],
    ['team/app', 'team/app'],
    ['a/b/c', 'a/b/c'],
  ])('toCanonicalImage maps %s to %s', (image, expected) => {
    expect(toCanonicalImage(image)).toBe(expected);
  });

  it('withCanonicalPatterns adds what matches official images by their full names', () => {
    expect(withCanonicalPatterns(['alpine', '*', '**', 'library/*', 'busybox:1.*', 'team/app'])).toEqual([
      'alpine',
      '*',
      '**',
      'library/*',
      'busybox:1.*',
      'team/app',
      'library/alpine',
      'library/*',
      'library/**',
      'library/busybox:1.*',
    ]);
  });

  it.each([
    ['docker.io', 'docker.io'],
    ['index.docker.io', 'docker.io'],
    ['registry-1.docker.io', 'docker.io'],
    ['Docker.IO', 'docker.io'],
    ['ghcr.io', 'ghcr.io'],
    ['GHCR.io', 'ghcr.io'],
    ['localhost:5000', 'localhost:5000'],
    ['mydocker.io', 'mydocker.io'],
  ])('canonicalNamespace maps %s to %s', (namespace, expected) => {
    expect(canonicalNamespace(namespace)).toBe(expected);
  });
});
