#!/usr/bin/env bash
# ModeKeeper plan sha256:cd0e228ced560871bb6a6c61f720f41a139368777b08272bbc20315ff83bb2b1
# Items: 0. There is nothing to change: this script does nothing.
exit 0
