import { describe, expect, it } from 'vitest';
import { canonicalNamespace, isDockerHub, toUpstreamImage } from '../../src/protocol/docker-hub.js';

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
    ['alpine', true, 'library/alpine'],
    ['library/alpine', true, 'library/alpine'],
    ['team/app', true, 'team/app'],
    ['a/b/c', true, 'a/b/c'],
    ['alpine', false, 'alpine'],
    ['team/app', false, 'team/app'],
  ])('toUpstreamImage maps %s (Docker Hub: %s) to %s', (image, dockerHub, expected) => {
    expect(toUpstreamImage(image, dockerHub)).toBe(expected);
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
