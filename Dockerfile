# docker build -t artifactapi .                 docs/container.md tells how to run it
# Without the internet: examples/container/build-offline.sh
ARG BASE_IMAGE=node:20-slim

FROM ${BASE_IMAGE} AS build
WORKDIR /app
COPY . .
# A context that brings what is built and installed needs no npm here.
RUN if [ ! -d dist ]; then \
      npm ci --ignore-scripts --no-progress && npm run build && npm prune --omit=dev --ignore-scripts && \
      rm -r src adapters tsconfig*.json package-lock.json .npmrc; \
    fi

FROM ${BASE_IMAGE}
ENV NODE_ENV=production
# A volume gets the owner of the folder that it is mounted on.
RUN mkdir -p /data && chown 1000:1000 /data
COPY --from=build /app /app
# The node images' own user, by number: Kubernetes sees from it that this is not root.
USER 1000:1000
WORKDIR /app
VOLUME /data
EXPOSE 5000
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:5000/readyz').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# Node itself is process 1 and gets the signals. What comes after the image's name in `docker run` takes the place of CMD.
ENTRYPOINT ["node", "/app/dist/src/command/cli.js", "serve", "--host", "0.0.0.0", "--port", "5000", "--data", "/data"]
CMD ["--config", "/etc/artifactapi/config.yaml"]
