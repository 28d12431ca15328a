# The programs and the libraries they need; docker/build-image.sh prepares rootfs. Nothing is fetched.
FROM scratch
COPY rootfs/ /
ENV PATH=/bin HOME=/home/packnback PACKNBACK_HOME=/home/packnback
VOLUME /home/packnback
EXPOSE 4001/tcp 4001/udp
CMD ["packnback-node", "--home", "/home/packnback"]
